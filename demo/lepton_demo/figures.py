"""What one run measured, and its JSON form."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from lepton_demo.scaling import Milestones
from lepton_demo.tally import LoadReport

NO_LOAD = LoadReport(0, 0, {}, 0, {}, (), 0.0)
NO_MILESTONES = Milestones(None, None, None, None, 0, None, None)


@dataclass
class Outcome:
    """Filled as the demo goes; what did not happen stays None."""

    warm: bool = False
    """Whether cluster, images and models were there already."""

    seconds: float | None = None
    ready_seconds: float | None = None
    first_answer_seconds: float | None = None
    load: LoadReport = field(default_factory=lambda: NO_LOAD)
    milestones: Milestones = NO_MILESTONES


def document(outcome: Outcome, command: Sequence[str], when: datetime) -> dict[str, Any]:
    """Everything measured, in the form that all figures of this project have."""
    return {
        "suite": "demo",
        "when": when.isoformat(timespec="seconds"),
        "command": " ".join(command),
        "machine": {"cores": os.cpu_count(), "kernel": platform.release()},
        "versions": {"python": platform.python_version()},
        "figures": [_figure(*row) for row in _rows(outcome)],
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """Write the document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _rows(outcome: Outcome) -> list[tuple[str, float | None, str, str]]:
    marks, load = outcome.milestones, outcome.load
    state = "warm" if outcome.warm else "cold"
    return [
        (f"road.demo_answer_s_{state}", outcome.first_answer_seconds, "s", "start to first answer"),
        ("demo.seconds", outcome.seconds, "s", "start to end"),
        ("demo.ready_s", outcome.ready_seconds, "s", "models applied to all Ready"),
        ("demo.load_to_decision_s", marks.decision, "s", "load to the autoscaler asking for more"),
        ("demo.load_to_new_ready_s", marks.new_ready, "s", "load to the first new Ready pod"),
        ("demo.load_to_peak_s", marks.peak_ready, "s", f"load to {marks.peak} Ready pods"),
        ("demo.end_to_settled_s", marks.settled, "s", "end of load to the workers from before"),
        ("demo.sent", float(load.sent), "requests", ""),
        ("demo.answered", float(load.answered), "requests", ""),
        ("demo.lost", float(load.lost), "requests", ""),
        ("demo.retries", float(load.retries), "attempts", "refused by a worker, asked again"),
        ("demo.p50_s", load.latency(0.5), "s", "closed loop"),
        ("demo.p99_s", load.latency(0.99), "s", "closed loop"),
    ]


def _figure(name: str, value: float | None, unit: str, note: str) -> dict[str, Any]:
    rounded = None if value is None else round(value, 3)
    return {"name": name, "value": rounded, "unit": unit, "note": note}
