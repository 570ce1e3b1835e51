"""`python -m lepton_bench [SUITE ...]`: run suites, write their files and the page."""

import argparse
import asyncio
import sys
from datetime import UTC, datetime

from lepton_bench import control_plane, demo, figures, node, page, soak
from lepton_bench.engine import suite as engine
from lepton_bench.figures import Figure
from lepton_bench.operator_process import file_limit


async def road() -> list[Figure]:
    """The road from apply to an elastic answer: on a control plane alone, then with a node."""
    return [*await control_plane.measure(), *await node.measure()]


SUITES = {"road": road, "demo": demo.measure, "soak": soak.measure}
DEFAULT = ("road", "demo")

ENGINE = "engine"
"""A suite with options of its own: `engine --help`; it is only run when it is named."""


def main() -> int:
    """Run the suites named on the command line; `road` and `demo` by default."""
    if sys.argv[1:2] == [ENGINE]:
        return engine.main(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m lepton_bench", description=__doc__)
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE", help=f"of {', '.join([*SUITES, ENGINE])}"
    )
    arguments = parser.parse_args()
    unknown = set(arguments.suites) - set(SUITES)
    if unknown:
        parser.error(f"unknown suite {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    file_limit()
    for name in arguments.suites or DEFAULT:
        about = figures.machine()
        taken = asyncio.run(SUITES[name]())
        parts = figures.versions("v1.35.4")
        path = figures.write(name, taken, now=datetime.now(UTC), about=about, parts=parts)
        for figure in taken:
            print(f"{figure.name:48} {figure.value} {figure.unit}")
        print(f"written: {path} and {page.write()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
