"""Which changes of conditions are worth an event: trouble that begins, and trouble that ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lepton_operator.api.conditions import Reason, Type
from lepton_operator.api.reasons import REASONS, Kind
from lepton_operator.status.say import cut

_TOLD_WHEN_TRUE = (Type.ACCEPTED, Type.SCALING, Type.READY)


@dataclass(frozen=True)
class News:
    """One event of the model; `type` is Normal or Warning."""

    type: str
    reason: str
    note: str


def news(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[News]:
    """Events for the step from the old to the new conditions.

    Trouble is told once, by the condition that it belongs to, when its reason is new. That
    something is fine is told for the end of trouble and when the model begins to serve.
    """
    old = {entry["type"]: entry for entry in before}
    told = (_about(old.get(entry["type"], {}), entry) for entry in now)
    return [item for item in told if item is not None]


def _about(old: Mapping[str, Any], new: Mapping[str, Any]) -> News | None:
    same = (old.get("status"), old.get("reason")) == (new["status"], new["reason"])
    if same:
        return None
    if new["status"] == "False" and new["type"] != Type.READY and _trouble(new):
        return News("Warning", new["reason"], cut(new["message"]))
    recovered = new["status"] == "True" and old.get("status") == "False"
    if recovered and new["type"] in _TOLD_WHEN_TRUE:
        return News("Normal", new["reason"], cut(new["message"]))
    return None


def _trouble(entry: Mapping[str, Any]) -> bool:
    return REASONS[Reason(entry["reason"])].kind in (Kind.FAILED, Kind.BLOCKED)
