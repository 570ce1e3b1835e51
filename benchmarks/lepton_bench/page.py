"""docs/benchmarks.md, written from the result files."""

import json
from pathlib import Path
from typing import Any

from lepton_bench.figures import RESULTS

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"

AIMS = {
    "road.apply_to_children_p99_s": "≤ 2",
    "road.operator_rss_mib_500": "≤ 200",
    "road.operator_cpu_cores_500": "≤ 0.02",
    "road.demo_answer_s_warm": "≤ 120",
}
"""What we want to reach; a figure without an aim is there to be watched."""

HEAD = """# Benchmarks

Written by `make bench` from `benchmarks/results/*.json`; do not edit. The machines are small and
shared: ratios within one run count, absolute figures illustrate.
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
        ]
    )


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
