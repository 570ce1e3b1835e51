"""kopf as our watcher: every event goes into the store, and its models into the queue.

Nothing else of kopf is used: no finalizers, no annotations, no progress, no handlers of changes,
and none of its indices, whose barrier takes minutes to open for a few thousand objects.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from typing import Any

import kopf

from lepton_operator import access
from lepton_operator.api.objects import API_SERVICES, Key, Resource
from lepton_operator.reconcile.store import Store
from lepton_operator.reconcile.trim import trimmed
from lepton_operator.reconcile.watched import Watched


def registry(
    store: Store,
    watched: Sequence[Watched],
    add: Callable[[Key], None],
    relisted: Callable[[], None],
) -> kopf.OperatorRegistry:
    """All handlers. `relisted` is called when a watch has begun anew: deletions may be missed."""
    made = kopf.OperatorRegistry()

    @kopf.on.login(registry=made)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await access.connection()

    async def noticed(body: kopf.Body, event: kopf.RawEvent, **_: Any) -> None:
        if event["type"] is None:
            relisted()
        item = trimmed(body)
        gone = event["type"] == "DELETED"
        keys = store.remove(item["metadata"]["uid"]) if gone else store.put(item)
        of_all = item["kind"] == API_SERVICES.kind
        for key in store.models() if of_all else keys:
            add(key)

    for entry in watched:
        kopf.on.event(*_selector(entry.resource), registry=made, id="noticed")(noticed)
    return made


def settings(watched: Sequence[Watched]) -> kopf.OperatorSettings:
    """kopf as a watcher that writes nothing, needs no rights beyond ours and never gives up."""
    made = kopf.OperatorSettings()
    made.posting.enabled = False
    made.peering.standalone = True
    made.scanning.disabled = True
    made.persistence.diffbase_storage = _NoDiffBase()
    made.watching.chunk_size = 100  # whole lists are what the memory's peak is made of
    made.queueing.idle_timeout = 1.0
    made.queueing.exit_timeout = 0.5
    made.networking.error_backoffs = _Patience()
    made.process.ultimate_exiting_timeout = None
    for entry in watched:
        if entry.labels:
            made.watching.label_selectors[_selector(entry.resource)] = entry.labels
        if entry.fields:
            made.watching.field_selectors[_selector(entry.resource)] = entry.fields
    return made


def _selector(resource: Resource) -> tuple[str, str, str]:
    return resource.group, resource.version, resource.plural


class _Patience:
    """Pauses between attempts, without end: the API server may be away for long."""

    def __iter__(self) -> Iterator[float]:
        return chain((0.5, 1.0, 2.0, 4.0, 8.0, 16.0), repeat(30.0))


class _NoDiffBase(kopf.DiffBaseStorage):
    """Nothing is remembered of an object, and no time is spent on copying it."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        pass
