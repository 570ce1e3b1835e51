"""Part `exact`: families of decoders whose texts are those of transformers in every mode.

The tests of families hold every text against `generate`, token by token: alone and in company over
gRPC, in chunks, evicted and begun again, and on a beginning known before. This part runs them and
counts the families all of whose tests pass.
"""

import asyncio
import os
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

from lepton_bench.engine.context import Context
from lepton_bench.engine.processes import single_purpose

ROOT = Path(__file__).parents[4]
TESTS = Path("tests") / "component" / "worker" / "test_families.py"
MODES = 4
"""Tests of a family, at the least; one that is refused at the start has fewer."""


async def measure(context: Context) -> None:
    """Run the tests of this tree."""
    context.tell("families of decoders")
    found = passed(await report(context))
    exact = sum(found.values())
    others = ", ".join(sorted(name for name, good in found.items() if not good))
    context.figure(
        "exact_architectures",
        float(exact) if found else None,
        "families",
        len(found) or None,
        against="transformers' own generate, greedy, token by token",
        note=_note(others) if found else f"{TESTS} gave no report",
    )


def _note(others: str) -> str:
    if others:
        return f"not exact: {others}"
    return (
        "alone, in company, in chunks, evicted, on a known beginning; "
        "docs/reference/architectures.md says which of them run on stock transformers"
    )


async def report(context: Context) -> str:
    """What pytest writes of the tests; empty when it wrote nothing."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.xml"
        process = await asyncio.create_subprocess_exec(
            *("taskset", "--cpu-list", ",".join(map(str, context.roster.cores.server))),
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("--junitxml", str(file), str(TESTS)),
            cwd=ROOT,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment(context.roster.threads),
        )
        try:
            await process.wait()
        finally:
            if process.returncode is None:
                process.terminate()
        return read(file)


def read(file: Path) -> str:
    """Text of a file; empty when there is none."""
    return file.read_text() if file.exists() else ""


def environment(threads: int) -> dict[str, str]:
    """That of this process, with so many threads."""
    return {**os.environ, **single_purpose(threads)}


def passed(report: str) -> dict[str, bool]:
    """Whether all tests of a family passed, by family, out of a report of pytest."""
    if not report:
        return {}
    tests: dict[str, set[str]] = defaultdict(set)
    bad: set[str] = set()
    for case in ElementTree.fromstring(report).iter("testcase"):
        test, _, words = case.attrib["name"].partition("[")
        for family in (word for word in words.rstrip("]").split("-") if not word.isdigit()):
            tests[family].add(test)
            if has_ended_badly(case):
                bad.add(family)
    return {name: name not in bad for name, which in tests.items() if len(which) >= MODES and name}


def has_ended_badly(case: ElementTree.Element) -> bool:
    """Whether a test failed, broke or was left out."""
    return any(case.find(kind) is not None for kind in ("failure", "error", "skipped"))
