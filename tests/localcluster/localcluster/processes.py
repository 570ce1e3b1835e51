"""Long-lived processes: started detached, recorded by id and start time, ended by exactly that.

A process id alone may be given to somebody else after ours is gone; together with the start time
it names one process for as long as the machine is up. Every process also carries the run folder
in its environment, which finds children that no record names, and survives a killed CLI.
"""

import contextlib
import json
import os
import select
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from localcluster.errors import DeadlinePassed
from localcluster.waiting import until

MARK = "LEPTON_LOCALCLUSTER_RUN"
PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One process of this machine."""

    pid: int
    start_time: int

    @property
    def is_alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        return _start_time(self.pid) == self.start_time


@dataclass(frozen=True)
class Record:
    """A component's process and how to start it again."""

    pid: int
    start_time: int
    argv: tuple[str, ...]

    @property
    def process(self) -> Process:
        """The process itself."""
        return Process(self.pid, self.start_time)


def spawn(
    argv: Sequence[str], log: Path, run: Path, env: Mapping[str, str] | None = None
) -> Record:
    """Start a process in a session of its own, so that it outlives us."""
    log.parent.mkdir(parents=True, exist_ok=True)
    marked_env = {**os.environ, **(env or {}), MARK: str(run)}
    pid = os.posix_spawn(
        argv[0],
        list(argv),
        marked_env,
        setsid=True,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )
    return Record(pid, _start_time(pid) or 0, tuple(argv))


def save(record: Record, path: Path) -> None:
    """Write a record so that readers see all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(record)))
    draft.replace(path)


def load(path: Path) -> Record | None:
    """Read a record; None when there is none."""
    try:
        raw = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return Record(raw["pid"], raw["start_time"], tuple(raw["argv"]))


def current() -> Process:
    """Return this very process."""
    return identify(os.getpid())


def identify(pid: int) -> Process:
    """Return the process that has this id now."""
    return Process(pid, _start_time(pid) or 0)


def marked(run: Path) -> list[Process]:
    """Find every process that was started for this run folder, and their children."""
    ours = os.getpid()
    found = [identify(pid) for pid, mark in _marks() if mark == run and pid != ours]
    return [process for process in found if process.is_alive]


def marks() -> set[Path]:
    """Return the run folders of all processes of any local cluster."""
    return {mark for _, mark in _marks()}


def wait_for_end(process: Process) -> None:
    """Block until the process has ended, without looking again and again."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if process.is_alive:
            select.select([descriptor], [], [])
    finally:
        os.close(descriptor)


def stop(processes: Iterable[Process], *, grace: float = 5.0) -> None:
    """Ask politely, wait, then kill."""
    running = [process for process in processes if process.is_alive]
    _signal(running, signal.SIGTERM)
    try:
        until(lambda: not _alive(running), "the end of processes", grace)
    except DeadlinePassed:
        kill(running)


def kill(processes: Iterable[Process]) -> None:
    """End processes now and see them gone."""
    running = list(processes)
    _signal(running, signal.SIGKILL)
    until(lambda: not _alive(running), f"the end of killed processes {_alive(running)}", 20)


def _alive(processes: Iterable[Process]) -> list[Process]:
    return [process for process in processes if process.is_alive]


def _signal(processes: Iterable[Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            # A process file descriptor keeps meaning the same process; check after opening it.
            descriptor = os.pidfd_open(process.pid)
        except ProcessLookupError:
            continue
        try:
            if process.is_alive:
                signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            continue
        finally:
            os.close(descriptor)


def _marks() -> Iterator[tuple[int, Path]]:
    """Yield the id and the mark of every process that carries one."""
    prefix = f"{MARK}=".encode()
    for folder in PROC.glob("[0-9]*"):
        try:
            environ = (folder / "environ").read_bytes()
        except OSError:  # gone meanwhile, or somebody else's
            continue
        for entry in environ.split(b"\0"):
            if entry.startswith(prefix):
                yield int(folder.name), Path(os.fsdecode(entry[len(prefix) :]))


def _start_time(pid: int) -> int | None:
    """Return the start time in clock ticks since boot; None for the dead and for zombies."""
    _reap(pid)
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name, in parentheses, may hold spaces and parentheses itself.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def _reap(pid: int) -> None:
    """Collect the process if it is an ended child of ours, so that no zombie stays."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
