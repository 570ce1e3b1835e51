"""Kubernetes quantities as numbers: `500m` is `0.5`, `1Gi` is 2**30."""

import re
from decimal import Decimal, DecimalException

_FORM = re.compile(r"([+-]?[0-9.]+)(?:([eE][+-]?[0-9]+)|([KMGTPE]i|[numkMGTPE]))?")
_SUFFIXES = {
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("num", start=-3)},
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}


def number(value: object) -> Decimal | None:
    """The quantity's value; None for what is no quantity."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return Decimal(str(value))
    match = _FORM.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    digits, exponent, suffix = match.groups()
    try:
        return Decimal(digits + (exponent or "")) * _SUFFIXES.get(suffix or "", Decimal(1))
    except DecimalException:
        return None
