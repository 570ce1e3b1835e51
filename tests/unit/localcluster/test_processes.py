"""Processes are ended by what they are, never by what they are called."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from localcluster import processes
from localcluster.errors import ComponentFailed, Refused
from localcluster.paths import Run
from localcluster.processes import Process
from localcluster.supervisor import Supervisor
from localcluster.waiting import until

SHELL = shutil.which("sh") or "/bin/sh"


@pytest.fixture
def supervisor(run: Run) -> Iterator[Supervisor]:
    yield Supervisor(run)
    processes.kill(processes.marked(run.root))


def script(text: str) -> tuple[str, ...]:
    return (SHELL, "-c", text)


def test_a_process_is_found_by_its_mark_and_its_children_too(
    supervisor: Supervisor, run: Run
) -> None:
    supervisor.launch("parent", script("sleep 600 & wait"))
    found = until(lambda: len(processes.marked(run.root)) == 2, "two processes", 5)
    assert found
    assert run.root in processes.marks()


def test_another_process_with_the_same_id_is_spared(supervisor: Supervisor, run: Run) -> None:
    supervisor.launch("one", script("exec sleep 600"))
    real = processes.identify(supervisor.process_id("one"))
    impostor = replace(real, start_time=real.start_time + 1)
    assert not impostor.is_alive
    processes.stop([impostor])
    processes.kill([impostor])
    assert real.is_alive
    supervisor.stop("one")
    assert not real.is_alive


def test_one_that_does_not_listen_is_killed(supervisor: Supervisor, run: Run) -> None:
    supervisor.launch("deaf", script("trap '' TERM; echo ready; while :; do sleep 0.1; done"))
    until(lambda: "ready" in supervisor.tail("deaf", 1), "the trap", 5)
    supervisor.stop("deaf", grace=0.1)
    assert not supervisor.is_running("deaf")


def test_a_component_that_dies_is_named_with_the_end_of_its_log(supervisor: Supervisor) -> None:
    supervisor.launch("etcd", script("echo the disk is full >&2; exit 3"))
    with pytest.raises(ComponentFailed, match=r"(?s)etcd ended; the end of .*the disk is full"):
        supervisor.await_ready("etcd", lambda: False, timeout=5)


def test_a_component_that_is_silent_is_named(supervisor: Supervisor) -> None:
    supervisor.launch("etcd", script("exec sleep 600"))
    with pytest.raises(ComponentFailed, match=r"etcd was not ready within 0\.1 s"):
        supervisor.await_ready("etcd", lambda: False, timeout=0.1)


def test_a_component_starts_again_with_other_flags(supervisor: Supervisor, run: Run) -> None:
    supervisor.launch("echo", (*script('echo "$@"; sleep 600'), "echo", "--a=1", "--b=2"))
    with pytest.raises(Refused, match="stop it first"):
        supervisor.start_again("echo")
    supervisor.stop("echo")
    supervisor.start_again("echo", {"a": "3"})
    until(lambda: "--b=2 --a=3" in supervisor.tail("echo", 5), "the new flags", 5)


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    record = processes.Record(1, 2, ("a", "b"))
    processes.save(record, tmp_path / "a.json")
    assert processes.load(tmp_path / "a.json") == record
    assert processes.load(tmp_path / "b.json") is None
    assert record.process == Process(1, 2)
