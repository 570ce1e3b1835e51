"""Real child processes of the engine benchmark: paused, counted, ended with their children."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_bench.engine import proc
from lepton_bench.engine.contestants import Engine
from lepton_bench.engine.environments import Unavailable
from lepton_bench.engine.processes import Child, Ended, single_purpose
from lepton_bench.engine.workload import Item

pytestmark = pytest.mark.component

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("ready", flush=True)
child.wait()
"""
ENGINE = """
from lepton_bench.engine.peers.line_loop import loop
def run(items, callers):
    print("chatter")
    if callers == 13:
        raise ValueError("unlucky")
    return sum(item["new_tokens"] for item in items)
loop(run, ["pip"])
"""
CORES = sorted(os.sched_getaffinity(0))[:1]


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    made = Child([sys.executable, "-c", PARENT], CORES, tmp_path / "log", {}, talks=True)
    assert made.process.stdout is not None
    assert made.process.stdout.readline() == "ready\n"
    yield made
    made.stop()


def test_a_child_is_ended_with_its_own_children(child: Child) -> None:
    assert len(dict(proc.of_session(child.process.pid))) == 2
    child.stop()
    assert dict(proc.of_session(child.process.pid)) == {}


def test_a_paused_child_can_be_ended(child: Child) -> None:
    child.pause()
    _, status = os.waitpid(child.process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    child.stop()
    assert dict(proc.of_session(child.process.pid)) == {}


def test_a_child_has_its_cores_and_its_costs_are_counted(child: Child) -> None:
    assert os.sched_getaffinity(child.process.pid) == set(CORES)
    assert child.peak_mib() > 5
    assert child.cpu_seconds() >= 0
    child.check()


def test_the_end_of_a_child_is_told_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such model')"]
    child = Child(command, CORES, tmp_path / "log", {})
    child.process.wait()
    with pytest.raises(Ended, match="ended with 1: no such model"):
        child.check()
    child.stop()


async def test_an_engine_runs_what_it_is_told_and_tells_its_errors(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ENGINE]
    engine = Engine(
        "e", lambda: Child(command, CORES, tmp_path / "log", single_purpose(1), talks=True)
    )
    try:
        await engine.start()
        assert set(engine.versions) == {"pip"}
        run = await engine.run([Item("a", 2, 5), Item("b", 4, 5)], 2)
        assert round(run.new_tokens_s * run.seconds) == 10
        assert round(run.prompt_tokens_s * run.seconds) == 6
        with pytest.raises(Unavailable, match="ValueError: unlucky"):
            await engine.run([Item("a", 1, 1)], 13)
    finally:
        await engine.stop()
    assert "chatter" in (tmp_path / "log").read_text()


async def test_an_engine_that_cannot_start_is_unavailable(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such library')"]
    engine = Engine("e", lambda: Child(command, CORES, tmp_path / "log", {}, talks=True))
    with pytest.raises(Unavailable, match="e ended with 1: no such library"):
        await engine.start()
