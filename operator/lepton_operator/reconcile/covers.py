"""Whether a live object still has everything that was asked for.

The server adds defaults and other owners add fields, so equality says nothing. Every asked-for key
has to be there with an equal value; what the server writes in another form counts as equal.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from lepton_operator.api.quantity import number


def covers(live: Any, desired: Any) -> bool:
    """Whether `desired` is found in `live`.

    Lists of things with unique names are compared by name, other lists by position and length;
    quantities as numbers; an empty value equals an absent one.
    """
    if isinstance(desired, Mapping):
        return _covers_map(live, desired)
    if isinstance(desired, list):
        return _covers_list(live, desired)
    if live == desired and type(live) is type(desired):
        return True
    if _empty(desired):
        return _empty(live)
    wanted, found = number(desired), number(live)
    return wanted is not None and wanted == found


def _covers_map(live: Any, desired: Mapping[str, Any]) -> bool:
    if live is None:
        live = {}
    if not isinstance(live, Mapping):
        return False
    return all(covers(live.get(key), value) for key, value in desired.items())


def _covers_list(live: Any, desired: Sequence[Any]) -> bool:
    if live is None:
        live = []
    if not isinstance(live, list):
        return False
    wanted, found = _by_name(desired), _by_name(live)
    if wanted is not None and found is not None:
        return all(name in found and covers(found[name], item) for name, item in wanted.items())
    return len(live) == len(desired) and all(map(covers, live, desired))


def _by_name(items: Sequence[Any]) -> dict[str, Any] | None:
    """The items by their names, or None where they have none or not unique ones."""
    named = {item["name"]: item for item in items if isinstance(item, Mapping) and "name" in item}
    return named if len(named) == len(items) else None


def _empty(value: Any) -> bool:
    return value is None or value in ("", [], {})
