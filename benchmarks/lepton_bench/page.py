"""docs/benchmarks.md, written from the result files."""

import json
from pathlib import Path
from typing import Any

from lepton_bench.figures import RESULTS

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
IMAGES = PAGE.parent / "images"

AIMS = {
    "road.apply_to_children_p99_s": "≤ 2",
    "road.operator_rss_mib_500": "≤ 200",
    "road.operator_cpu_cores_500": "≤ 0.02",
    "road.demo_answer_s_warm": "≤ 120",
    "engine.encode_vs_padded_fifo": "≥ 3.5",
    "engine.encode_int8_vs_padded_fifo": "≥ 6",
    "engine.encode_vs_onnxruntime": "≥ 1.15",
    "engine.encode_vs_limit": "≥ 0.9",
    "engine.decode_vs_transformers_cb_c16": "≥ 2.0",
    "engine.decode_vs_transformers_serve_c16": "≥ 5",
    "engine.decode_int8_vs_ctranslate2_c4": "≥ 1.3",
    "engine.decode_vs_best_cpp_c8": "≥ 0.9",
    "engine.decode_vs_limit_c1": "≥ 0.75",
    "engine.long_prompts_vs_transformers_cb": "≥ 2",
    "engine.goodput_at_2x": "≥ 0.9",
    "engine.overhead_share": "≤ 0.05",
    "engine.warm_start_vs_cold": "≤ 0.1",
    "engine.cold_start_vs_transformers_serve": "≤ 0.6",
    "engine.victim_p99_ratio": "≤ 1.5",
}
"""What we want to reach; a figure without an aim is there to be watched."""

HEAD = """# Benchmarks

Written by `make bench` from `benchmarks/results/*.json`; do not edit. The machines are small and
shared: ratios within one run count, absolute figures illustrate.

The suite `engine` puts the worker beside other servers and engines: `make bench ARGS=engine` for
all of it (hours), `make bench ARGS='engine --quick'` for a trial whose results stay in the cache,
`make bench ARGS='engine --only encode decode'` for parts of it, merged into the same file. Servers
are pinned to all cores but one, their caller to the last; who is not measured is stopped meanwhile.
Peers are installed on demand below `~/.cache/lepton/peers`, with the torch and transformers of this
project; one that cannot be installed or started is listed as not measured, with the reason. Engines
without a server get their input at once and answer nobody: the comparison is in their favour.
"""


def render(suites: list[dict[str, Any]]) -> str:
    """The page for the given suites."""
    return "\n".join([HEAD, *(_suite(suite) for suite in suites)])


def _suite(suite: dict[str, Any]) -> str:
    machine, versions = suite["machine"], suite["versions"]
    parts = ", ".join(f"{name} {version}" for name, version in versions.items())
    rows = [_row(figure) for figure in suite["figures"]]
    return "\n".join(
        [
            f"## {suite['suite']}",
            "",
            f"`{suite['command']}`, {suite['when'][:10]}, on {machine['cores']} cores of "
            f"{machine['cpu']}, {machine['memory_gib']} GiB, Linux {machine['kernel']}, "
            f"load before the run {machine['load_before']}. Versions: {parts}.",
            "",
            "| figure | value | aim | sample | against | remark |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            *_pictures(suite),
        ]
    )


def _pictures(suite: dict[str, Any]) -> list[str]:
    """References to the pictures that were drawn of a suite's curves."""
    names = dict.fromkeys(curve["picture"] for curve in suite.get("curves", ()))
    return [
        line
        for name in names
        for line in (f"![{name.replace('-', ' ')}](images/bench-{name}.svg)", "")
    ]


def _row(figure: dict[str, Any]) -> str:
    value = "not measured" if figure["value"] is None else f"{figure['value']:g} {figure['unit']}"
    cells = [
        f"`{figure['name']}`",
        value,
        AIMS.get(figure["name"], ""),
        figure["of"] or "",
        figure["against"] or "",
        figure["note"],
    ]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def write() -> Path:
    """Write the page from all result files."""
    suites = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    PAGE.write_text(render(suites))
    return PAGE
