"""Where the time of an engine's steps goes, by torch's own profiler."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

MOST_OPERATORS = 50


@dataclass(frozen=True)
class OperatorTime:
    """One operator: its calls, and the seconds that it took without those that it called."""

    name: str
    calls: int
    cpu_seconds: float
    device_seconds: float


@dataclass(frozen=True)
class Profile:
    """Some steps: the most expensive operators first, and a trace in Chrome's format if asked."""

    steps: int
    operators: tuple[OperatorTime, ...]
    trace: bytes = b""


class Profiler:
    """Records from its making until `stop`, in the thread that made it."""

    def __init__(self, trace: bool) -> None:
        # Only an engine that is asked for a profile pays for the import.
        from torch.profiler import ProfilerActivity, profile, supported_activities

        activities = [
            kind
            for kind in (ProfilerActivity.CPU, ProfilerActivity.CUDA)
            if kind in supported_activities()  # type: ignore[no-untyped-call]
        ]
        self._trace = trace
        self._profile: Any = profile(activities=activities)
        self._profile.start()

    def stop(self, steps: int) -> Profile:
        """What happened in so many steps."""
        self._profile.stop()
        rows = sorted(self._profile.key_averages(), key=_self_time, reverse=True)
        operators = tuple(
            OperatorTime(
                row.key,
                row.count,
                row.self_cpu_time_total / 1e6,
                getattr(row, "self_device_time_total", 0) / 1e6,
            )
            for row in rows[:MOST_OPERATORS]
        )
        return Profile(steps, operators, self._exported() if self._trace else b"")

    def _exported(self) -> bytes:
        with TemporaryDirectory() as folder:
            file = Path(folder) / "trace.json"
            self._profile.export_chrome_trace(str(file))
            return file.read_bytes()


def _self_time(row: Any) -> float:
    return float(row.self_cpu_time_total + getattr(row, "self_device_time_total", 0))
