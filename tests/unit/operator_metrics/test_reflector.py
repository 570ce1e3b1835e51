"""List and watch through every failure of the API server."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from lepton_operator.metrics import reflector as reflector_module
from lepton_operator.metrics.apiserver import CONNECTED, ApiError, Json
from lepton_operator.metrics.reflector import Reflector, Selection

PODS = Selection("Pods", "/api/v1/pods", {"labelSelector": "a=b"})
END = object()


def a_pod(name: str, version: int) -> Json:
    return {"metadata": {"name": name, "resourceVersion": str(version)}}


def a_list(version: int, *names: str) -> Json:
    return {
        "metadata": {"resourceVersion": str(version)},
        "items": [a_pod(name, version) for name in names],
    }


def an_event(kind: str, name: str, version: int) -> Json:
    return {"type": kind, "object": a_pod(name, version)}


GONE = {"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}
UNREACHABLE = ApiError(0, "connection refused")


@dataclass
class Script:
    """An API server that answers as written; when all is said, the watch stays open."""

    lists: list[Json | ApiError]
    watches: list[list[Json | ApiError]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
    ) -> Json:
        assert (method, path, query) == ("GET", PODS.path, PODS.query)
        self.asked.append("list")
        found = self.lists.pop(0)
        if isinstance(found, ApiError):
            raise found
        return found

    async def watch(
        self, path: str, query: Mapping[str, str], seconds: int
    ) -> AsyncGenerator[Json]:
        assert query["allowWatchBookmarks"] == "true"
        assert query["labelSelector"] == "a=b"
        self.asked.append(f"watch from {query['resourceVersion']}")
        if not self.watches:
            self.done.set()
            await asyncio.Event().wait()
        for event in self.watches.pop(0):
            if isinstance(event, ApiError):
                raise event
            yield event


@dataclass
class Seen:
    """A sink that writes down."""

    names: set[str] = field(default_factory=set)

    def replace(self, items: Sequence[Json]) -> None:
        self.names = {item["metadata"]["name"] for item in items}

    def put(self, item: Json) -> None:
        self.names.add(item["metadata"]["name"])

    def drop(self, item: Json) -> None:
        self.names.discard(item["metadata"]["name"])


@dataclass
class Outcome:
    """What a script led to."""

    names: set[str]
    asked: list[str]
    reflector: Reflector
    failures: int


async def played(script: Script) -> Outcome:
    """Let a reflector run to the end of the script."""
    sink, failures = Seen(), []
    reflector = Reflector(
        server=script,
        selection=PODS,
        sink=sink,
        clock=lambda: 42.0,
        restarted=lambda: failures.append(1),
        back_off=(0.0,),
    )
    task = asyncio.create_task(reflector.run())
    ended = asyncio.create_task(script.done.wait())
    await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
    task.cancel()
    await asyncio.gather(task, ended, return_exceptions=True)
    assert script.done.is_set()
    return Outcome(sink.names, script.asked, reflector, len(failures))


async def test_events_follow_the_list() -> None:
    events = [an_event("ADDED", "b", 6), an_event("MODIFIED", "a", 7), an_event("DELETED", "a", 8)]
    found = await played(Script([a_list(5, "a")], [[{"type": CONNECTED}, *events]]))
    assert found.names == {"b"}
    assert found.asked == ["list", "watch from 5", "watch from 8"]
    assert found.reflector.seen_at == 42.0
    assert found.failures == 0


async def test_bookmarks_move_the_place_and_nothing_else() -> None:
    found = await played(Script([a_list(5, "a")], [[an_event("BOOKMARK", "", 90)]]))
    assert found.names == {"a"}
    assert found.asked[-1] == "watch from 90"


async def test_a_broken_watch_goes_on_where_it_was() -> None:
    found = await played(Script([a_list(5)], [[an_event("ADDED", "a", 6), UNREACHABLE]]))
    assert found.asked == ["list", "watch from 5", "watch from 6"]
    assert found.failures == 1
    assert found.reflector.trouble == "connection refused"


async def test_trouble_ends_with_the_first_sign_of_life() -> None:
    found = await played(Script([a_list(5)], [[UNREACHABLE], [{"type": CONNECTED}]]))
    assert found.asked == ["list", "watch from 5", "watch from 5", "watch from 5"]
    assert found.reflector.trouble == ""


@pytest.mark.parametrize("gone", [GONE, ApiError(410, "Gone")])
async def test_a_place_that_is_too_old_leads_to_a_fresh_list(gone: Json | ApiError) -> None:
    found = await played(Script([a_list(5, "a"), a_list(99, "b")], [[gone]]))
    assert found.names == {"b"}
    assert found.asked == ["list", "watch from 5", "list", "watch from 99"]


async def test_a_refused_watch_leads_to_a_fresh_list() -> None:
    found = await played(Script([a_list(5), a_list(6)], [[ApiError(403, "forbidden")]]))
    assert found.asked == ["list", "watch from 5", "list", "watch from 6"]


async def test_a_failed_list_is_repeated() -> None:
    found = await played(Script([UNREACHABLE, ApiError(500, "etcd"), a_list(5, "a")]))
    assert found.names == {"a"}
    assert found.asked == ["list", "list", "list", "watch from 5"]
    assert found.failures == 2


def test_attempts_become_rarer_and_stay_bearable() -> None:
    waits = reflector_module.BACK_OFF
    assert list(waits) == sorted(waits)
    assert waits[-1] < 10


async def test_before_the_first_list_nothing_was_seen() -> None:
    reflector = Reflector(Script([]), PODS, Seen(), clock=lambda: 1.0)
    assert reflector.seen_at is None
