"""From the text of `kubectl get --watch` to the objects as they are now. No I/O."""

import json
from typing import Any

Object = dict[str, Any]


class Documents:
    """Cuts a stream of lines into JSON documents, however they are indented."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def feed(self, line: str) -> Object | None:
        """Take one line; return the document that it ends, if it ends one."""
        text = line.rstrip()
        self._lines.append(text)
        if text != "}" and not (len(self._lines) == 1 and text.endswith("}")):
            return None
        document: Object = json.loads("\n".join(self._lines))
        self._lines.clear()
        return document


class Objects:
    """The objects of one watch, by name."""

    def __init__(self) -> None:
        self._objects: dict[str, Object] = {}

    def apply(self, event: Object) -> None:
        """Take one watch event over."""
        name = event["object"].get("metadata", {}).get("name")
        if name is None:  # a Status object: the watch was ended by the server
            return
        if event["type"] == "DELETED":
            self._objects.pop(name, None)
        else:
            self._objects[name] = event["object"]

    def all(self) -> list[Object]:
        """Return every object, in order of their names."""
        return [self._objects[name] for name in sorted(self._objects)]

    def get(self, name: str) -> Object | None:
        """Return one object, if it exists."""
        return self._objects.get(name)
