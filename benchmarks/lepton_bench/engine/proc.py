"""What the kernel tells of processes: /proc read as text."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Stat:
    """The fields of /proc/PID/stat that count here; times in clock ticks."""

    parent: int
    session: int
    state: str
    ticks: int
    """User and system time of the process and of the children it has waited for."""


def read_stat(text: str) -> Stat:
    """Fields of a line of /proc/PID/stat; the command in brackets may hold anything."""
    fields = text.rpartition(")")[2].split()
    return Stat(
        parent=int(fields[1]),
        session=int(fields[3]),
        state=fields[0],
        ticks=sum(map(int, fields[11:15])),
    )


def peak_kib(text: str) -> int:
    """Largest resident memory in KiB from /proc/PID/status; 0 for a process that has ended."""
    lines = (line for line in text.splitlines() if line.startswith("VmHWM:"))
    return next((int(line.split()[1]) for line in lines), 0)


def of_session(session: int) -> Iterator[tuple[int, Stat]]:
    """Living processes of a session, by id."""
    for folder in PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = read_stat((folder / "stat").read_text())
        except (OSError, IndexError):  # it ended meanwhile
            continue
        if stat.session == session and stat.state != "Z":
            yield int(folder.name), stat


def grandchildren(session: int) -> list[int]:
    """Processes of a session whose parent is a child of its first process."""
    parents = {pid: stat.parent for pid, stat in of_session(session)}
    return [pid for pid, parent in parents.items() if parents.get(parent) == session]
