"""The suite's file of results: parts are run one by one and merged into it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from lepton_bench import figures
from lepton_bench.engine.context import Curve
from lepton_bench.engine.models import CACHE
from lepton_bench.engine.options import PARTS
from lepton_bench.figures import Figure

TRIAL = CACHE / "bench-trial"
"""Where trials leave what they found: it is no result."""

Document = dict[str, Any]


def empty() -> Document:
    """A file of results without any."""
    return {"suite": "engine", "parts": {}, "figures": [], "curves": []}


def load(path: Path) -> Document:
    """What the file holds; an empty document when there is none."""
    if not path.exists():
        return empty()
    found: Document = json.loads(path.read_text())
    return found


def with_part(
    document: Document,
    part: str,
    about: Mapping[str, Any],
    taken: Sequence[Figure],
    curves: Sequence[Curve],
) -> Document:
    """The document with a part's figures and curves in place of its former ones.

    `about` says when and how the part was run.
    """
    former = document["parts"].get(part, {"figures": [], "pictures": []})
    replaced = {*former["figures"], *(figure.name for figure in taken)}
    pictures = {*former["pictures"], *(curve.picture for curve in curves)}
    return {
        **document,
        "parts": {
            **document["parts"],
            part: {
                **about,
                "figures": [figure.name for figure in taken],
                "pictures": sorted({curve.picture for curve in curves}),
            },
        },
        "figures": [
            *(figure for figure in document["figures"] if figure["name"] not in replaced),
            *(asdict(figure) for figure in taken),
        ],
        "curves": [
            *(curve for curve in document["curves"] if curve["picture"] not in pictures),
            *(asdict(curve) for curve in curves),
        ],
    }


def in_order(document: Document) -> Document:
    """The same, figures in the order of the parts."""
    place = {
        name: (PARTS.index(part), number)
        for part, about in document["parts"].items()
        for number, name in enumerate(about["figures"])
    }
    last = (len(PARTS), 0)
    parts = {part: document["parts"][part] for part in PARTS if part in document["parts"]}
    ordered = sorted(document["figures"], key=lambda figure: place.get(figure["name"], last))
    return {**document, "parts": parts, "figures": ordered}


def write(
    path: Path,
    document: Document,
    *,
    now: datetime,
    command: str,
    about: Mapping[str, object],
    versions: Mapping[str, str],
) -> None:
    """Write the file with what is known of the last run."""
    content = {
        "suite": "engine",
        "when": now.isoformat(timespec="seconds"),
        "command": command,
        "machine": about,
        "versions": {**document.get("versions", {}), **versions},
        **{key: in_order(document)[key] for key in ("parts", "figures", "curves")},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def place(trial: bool) -> Path:
    """The file of results, or that of trials."""
    return (TRIAL if trial else figures.RESULTS) / "engine.json"
