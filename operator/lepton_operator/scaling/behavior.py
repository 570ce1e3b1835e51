"""`behavior` of a HorizontalPodAutoscaler as values, with the API server's defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Limit:
    """At most so many pods, or per cent of the pods, in a period of seconds."""

    type: str
    value: int
    period: int


@dataclass(frozen=True)
class Direction:
    """Rules for one direction; `window` None is the cluster's own."""

    limits: tuple[Limit, ...]
    window: float | None = None
    select: str = "Max"
    tolerance: float | None = None


@dataclass(frozen=True)
class Behavior:
    """Rules for growing and for shrinking."""

    up: Direction
    down: Direction


UP = Direction((Limit("Pods", 4, 15), Limit("Percent", 100, 15)), window=0)
DOWN = Direction((Limit("Percent", 100, 15),))


def behavior(section: Mapping[str, Any]) -> Behavior:
    """What the API server makes of a `behavior` section.

    Raises ValueError with the field and the remedy when a field has a value that it refuses.
    """
    return Behavior(
        _direction("scaleUp", section.get("scaleUp"), UP),
        _direction("scaleDown", section.get("scaleDown"), DOWN),
    )


def _direction(field: str, section: Mapping[str, Any] | None, default: Direction) -> Direction:
    given = section or {}
    select = given.get("selectPolicy", "Max")
    if select not in ("Max", "Min", "Disabled"):
        raise ValueError(f"behavior.{field}.selectPolicy: {select!r}; give Max, Min or Disabled")
    tolerance = given.get("tolerance")
    return Direction(
        tuple(_limit(field, each) for each in given.get("policies") or ()) or default.limits,
        given.get("stabilizationWindowSeconds", default.window),
        select,
        None if tolerance is None else float(tolerance),
    )


def _limit(field: str, section: Mapping[str, Any]) -> Limit:
    kind, period = section.get("type"), section.get("periodSeconds", 0)
    if kind not in ("Pods", "Percent"):
        raise ValueError(f"behavior.{field}.policies: type {kind!r}; give Pods or Percent")
    if not 1 <= period <= 1800 or section.get("value", 0) < 1:
        raise ValueError(
            f"behavior.{field}.policies: give value from 1 and periodSeconds from 1 to 1800"
        )
    return Limit(kind, section["value"], period)
