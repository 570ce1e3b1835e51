"""Strategic merge of a user's pod template over ours, on plain data.

Maps are merged key by key, `null` removes a key. Lists of named things are merged by their key:
containers and ports entry by entry, while volumes, mounts and environment variables are unions of
alternatives, so that an entry of theirs replaces ours whole. Some lists are added to, all others
replaced.
"""

from typing import Any

from lepton_operator.api.objects import Object

_MERGED = {"containers": "name", "initContainers": "name", "ports": "name"}
_REPLACED = {"env": "name", "volumes": "name", "volumeMounts": "mountPath"}
_ADDED = ("tolerations", "imagePullSecrets", "envFrom")


class NotMergeable(Exception):
    """Theirs does not have the shape that the place needs; the message names the field."""


def merge(ours: Object, theirs: Object, path: str) -> Object:
    """Theirs over ours; raises NotMergeable with `path` in front of the field's name."""
    result = dict(ours)
    for key, value in theirs.items():
        where = f"{path}.{key}"
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(key, ours.get(key), value, where)
    return result


def _merged(key: str, ours: Any, theirs: Any, path: str) -> Any:
    if key in _MERGED or key in _REPLACED or key in _ADDED:
        return _lists(key, ours or [], _a_list(theirs, path), path)
    if isinstance(ours, dict) or isinstance(theirs, dict):
        return merge(ours if isinstance(ours, dict) else {}, _a_map(theirs, path), path)
    return theirs


def _lists(key: str, ours: list[Object], theirs: list[Object], path: str) -> list[Object]:
    if key in _ADDED:
        return [*ours, *(entry for entry in theirs if entry not in ours)]
    name = _MERGED.get(key) or _REPLACED[key]
    result = {entry[name]: entry for entry in ours}
    for index, entry in enumerate(theirs):
        where = f"{path}[{index}]"
        if not isinstance(entry.get(name), str):
            raise NotMergeable(f"{where} needs a {name}, by which it is merged with ours")
        before = result.get(entry[name], {}) if key in _MERGED else {}
        result[entry[name]] = merge(before, entry, where)
    return list(result.values())


def _a_map(value: Any, path: str) -> Object:
    if not isinstance(value, dict):
        raise NotMergeable(f"{path} must be a map")
    return value


def _a_list(value: Any, path: str) -> list[Object]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise NotMergeable(f"{path} must be a list of maps")
    return value
