"""List and watch: a sink that always holds what the API server last said, and how old that is."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Protocol

from lepton_operator.metrics.apiserver import CONNECTED, ApiError, ApiServer, Json

log = logging.getLogger(__name__)

WATCH_SECONDS = 20
"""How long one watch lasts. Short, because its end is the proof that the connection works."""

BACK_OFF = (0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts, the last one from there on."""


class Sink(Protocol):
    """Where objects go."""

    def replace(self, items: Sequence[Json]) -> None:
        """All there are."""

    def put(self, item: Json) -> None:
        """One as it is now."""

    def drop(self, item: Json) -> None:
        """One that is gone."""


@dataclass
class Latest:
    """A sink for a single object."""

    changed: Callable[[], None]
    object: Json | None = None
    known: bool = False
    """Whether there was an answer at all, so that None means: it does not exist."""

    def replace(self, items: Sequence[Json]) -> None:
        """All there are."""
        self.object, self.known = (items[0] if items else None), True
        self.changed()

    def put(self, item: Json) -> None:
        """One as it is now."""
        self.object = item
        self.changed()

    def drop(self, item: Json) -> None:
        """One that is gone."""
        self.object = None
        self.changed()


@dataclass(frozen=True)
class Selection:
    """What to follow: a collection's path and a query that narrows it."""

    what: str
    path: str
    query: Mapping[str, str]


def one(what: str, path: str, name: str) -> Selection:
    """A single object; RBAC grants `list` and `watch` by name when asked in this form."""
    return Selection(f"{what} {name}", path, {"fieldSelector": f"metadata.name={name}"})


@dataclass
class Reflector:
    """Follows one selection for as long as it runs, through every failure."""

    server: ApiServer
    selection: Selection
    sink: Sink
    clock: Callable[[], float]
    restarted: Callable[[], None] = lambda: None
    """Told of each failure."""

    back_off: tuple[float, ...] = BACK_OFF

    seen_at: float | None = None
    """When the API server last gave a sign of life; None before the first complete list."""

    trouble: str = ""
    """What is wrong; empty while all is well."""

    _version: str = field(default="", init=False)
    _failures: int = field(default=0, init=False)

    async def run(self) -> None:
        """List once, then watch; list anew when the server has forgotten where we were."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except ApiError as error:
                await self._recover(error)

    async def _list(self) -> None:
        found = await self.server.call("GET", self.selection.path, self.selection.query)
        self._version = found["metadata"]["resourceVersion"]
        self.sink.replace(found.get("items") or [])
        self._alive()
        log.debug("%s: listed %d", self.selection.what, len(found.get("items") or []))

    async def _watch(self) -> None:
        query = {
            **self.selection.query,
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
        }
        events = self.server.watch(self.selection.path, query, WATCH_SECONDS)
        async with aclosing(events):
            async for event in events:
                self._take(event)
                self._alive()
        self._alive()

    def _take(self, event: Json) -> None:
        kind, item = event.get("type"), event.get("object") or {}
        if kind == "ERROR":
            raise ApiError(item.get("code") or 0, item.get("message") or "the watch failed")
        if kind == CONNECTED:
            return
        self._version = item["metadata"]["resourceVersion"]
        if kind == "DELETED":
            self.sink.drop(item)
        elif kind != "BOOKMARK":
            self.sink.put(item)

    def _alive(self) -> None:
        if self.trouble:
            log.info("%s: in view again", self.selection.what)
        self.seen_at, self.trouble, self._failures = self.clock(), "", 0

    async def _recover(self, error: ApiError) -> None:
        # Unreachable: try to go on where we were. Any other answer, most of all 410: start anew.
        if error.code:
            self._version = ""
        first_gone = error.code == 410 and not self._failures
        self.restarted()
        self._failures += 1
        if first_gone:
            return
        if not self.trouble:
            log.warning("%s: out of view: %s", self.selection.what, error)
        self.trouble = str(error)
        await asyncio.sleep(self.back_off[min(self._failures, len(self.back_off)) - 1])
