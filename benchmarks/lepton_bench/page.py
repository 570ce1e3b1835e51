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
    "engine.exact_architectures": "≥ 12",
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
    "engine.gpu_vs_hbm_limit": "≥ 0.7",
    "engine.gpu_vs_vllm": "≥ 0.9",
    "soak.unexpected_ends": "0",
    "soak.threads_gained": "≤ 0",
    "soak.files_gained": "≤ 0",
}
"""What we want to reach; a figure without an aim is there to be watched."""

HEAD = """# Benchmarks

Written by `make bench` from `benchmarks/results/*.json`; do not edit. The machines are small and
shared: ratios within one run count, absolute figures illustrate.

The suite `engine` puts the worker beside other servers and engines. `make bench ARGS=engine` is all
of it (hours). `make bench ARGS='engine --quick'` is one round with the peers that matter, 40
minutes on two cores. `make bench ARGS='engine --trial'` is a trial whose results stay in the cache,
and `make bench ARGS='engine --only encode decode'` runs parts, which are merged into the same file.
Each prints its plan before it starts.

Servers are pinned to all cores but one, their caller to the last; who is not measured is stopped
meanwhile. Peers are installed on demand below `~/.cache/lepton/peers`, with the torch and
transformers of this project, or all of them beforehand by `make bench ARGS='engine --prepare'`; one
that cannot be installed or started is listed as not measured, with the reason. llama.cpp is
compiled there out of the source that llama-cpp-python brings along, which takes half an hour, once.
Engines without a server get their input at once and answer nobody: the comparison is in their
favour.
"""


def render(suites: list[dict[str, Any]]) -> str:
    """The page for the given suites."""
    return "\n".join([HEAD, *(_suite(suite) for suite in suites)])


def _suite(suite: dict[str, Any]) -> str:
    machine, versions = suite["machine"], suite["versions"]
    parts = ", ".join(f"{name} {version}" for name, version in versions.items())
    others = [figure for figure in suite["figures"] if figure["name"] not in AIMS]
    rows = [_row(figure) for figure in [*_with_aims(suite), *others]]
    return "\n".join(
        [
            f"## {suite['suite']}",
            "",
            f"`{suite['command']}`, {suite['when'][:10]}, on {machine['cores']} cores of "
            f"{machine['cpu']}, {machine['memory_gib']} GiB, Linux {machine['kernel']}, "
            f"load before the run {machine['load_before']}. Versions: {parts}.",
            "",
            *_parts(suite),
            "| figure | value | aim | sample | against | remark |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            *_pictures(suite),
        ]
    )


def _with_aims(suite: dict[str, Any]) -> list[dict[str, Any]]:
    """Figures with an aim in the order of the aims; those that no run has taken yet say so."""
    taken = {figure["name"]: figure for figure in suite["figures"]}
    empty = {"value": None, "of": None, "against": None, "note": "no run of this part yet"}
    names = [name for name in AIMS if name.startswith(f"{suite['suite']}.")]
    return [taken.get(name, {"name": name, **empty}) for name in names]


def _parts(suite: dict[str, Any]) -> list[str]:
    """When each part of a suite was run, in how many rounds, and who was missing."""
    lines = [_part(name, about) for name, about in suite.get("parts", {}).items()]
    return [*lines, ""] if lines else []


def _part(name: str, about: dict[str, Any]) -> str:
    rounds = "one round" if about["rounds"] == 1 else f"median of {about['rounds']} rounds"
    missing = "; ".join(
        f"{who} ({why.removeprefix(who).lstrip()})" for who, why in about.get("missing", {}).items()
    )
    return (
        f"- Part {name}: {rounds}, {about['when'][:16].replace('T', ' ')}, load before it "
        f"{about['load_before']}{f'. Missing: {missing}' if missing else ''}."
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
