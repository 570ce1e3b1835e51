"""kopf: watches fill the indices, and every event puts its models into the queue.

kopf calls event handlers only once all indices are complete, so that no pass sees half a cluster.
Nothing else of kopf is used: no finalizers, no annotations, no progress, no handlers of changes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import Any

import kopf

from lepton_operator import access
from lepton_operator.api.names import LABEL_MODEL
from lepton_operator.api.objects import (
    API_SERVICES,
    AUTOSCALERS,
    BUDGETS,
    CHILDREN,
    DEPLOYMENTS,
    METRICS_API_SERVICE,
    MODELS,
    PODS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Key,
    Object,
    Resource,
)
from lepton_operator.reconcile.indices import (
    API_SERVICES_BY_NAME,
    AUTOSCALERS_BY_TARGET,
    CHILDREN_BY_LABEL,
    MODELS_BY_NAME,
    PODS_BY_LABEL,
    Indices,
    by_label,
    concerned,
    own_key,
    target,
)
from lepton_operator.reconcile.trim import trimmed

LABELLED = (SERVICE_ACCOUNTS, SERVICES, DEPLOYMENTS, BUDGETS, PODS)
"""Watched by label only: what others have of these kinds is none of our business."""

API_SERVICE_FIELD = f"metadata.name={METRICS_API_SERVICE}"

KeyOf = Callable[[Mapping[str, Any]], object]


def registry(
    indices: Indices,
    add: Callable[[Key], None],
    relisted: Callable[[], None],
    *,
    watches_api_services: bool,
) -> kopf.OperatorRegistry:
    """All handlers. `relisted` is called when a watch has begun anew: deletions may be missed."""
    made = kopf.OperatorRegistry()
    names = _indexing(made, watches_api_services)

    @kopf.on.login(registry=made)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await access.connection()

    @kopf.on.startup(registry=made)
    async def connect(**kwargs: Any) -> None:
        indices.connect({name: kwargs[name] for name in names})

    targets: dict[str, Key] = {}

    async def noticed(body: kopf.Body, event: kopf.RawEvent, **_: Any) -> None:
        if event["type"] is None:
            relisted()
        for key in concerned(body) | _left(targets, body):
            add(key)

    async def metrics_api_noticed(**_: Any) -> None:
        for key in indices.models():
            add(key)

    for resource in (MODELS, *CHILDREN, PODS):
        kopf.on.event(*_selector(resource), registry=made, id="noticed")(noticed)
    if watches_api_services:
        kopf.on.event(*_selector(API_SERVICES), registry=made, id="api")(metrics_api_noticed)
    return made


def _indexing(made: kopf.OperatorRegistry, watches_api_services: bool) -> list[str]:
    """Register what is held in memory; returns the names of the indices."""
    table: list[tuple[str, Sequence[Resource], KeyOf]] = [
        (MODELS_BY_NAME, [MODELS], own_key),
        (CHILDREN_BY_LABEL, CHILDREN, by_label),
        (PODS_BY_LABEL, [PODS], by_label),
        (AUTOSCALERS_BY_TARGET, [AUTOSCALERS], target),
    ]
    if watches_api_services:
        table.append((API_SERVICES_BY_NAME, [API_SERVICES], lambda item: item["metadata"]["name"]))
    for name, resources, key in table:
        index = _index(key)
        for resource in resources:
            kopf.index(*_selector(resource), registry=made, id=name)(index)
    return [name for name, _, _ in table]


def _index(key: KeyOf) -> Any:
    async def index(body: kopf.Body, **_: Any) -> dict[object, Object]:
        found = key(body)
        # Empty, not None: kopf would go on holding what it held before.
        return {found: trimmed(body)} if found else {}

    return index


def _left(targets: dict[str, Key], item: Mapping[str, Any]) -> set[Key]:
    """The Deployment that an autoscaler scaled before it was pointed to another one."""
    uid, now = item["metadata"]["uid"], target(item)
    before = targets.pop(uid, None)
    if now:
        targets[uid] = now
    return {before} if before else set()


def _selector(resource: Resource) -> tuple[str, str, str]:
    return resource.group, resource.version, resource.plural


def settings() -> kopf.OperatorSettings:
    """kopf as a watcher that writes nothing, needs no rights beyond ours and never gives up."""
    made = kopf.OperatorSettings()
    made.posting.enabled = False
    made.peering.standalone = True
    made.scanning.disabled = True
    made.persistence.diffbase_storage = _NoDiffBase()
    made.queueing.idle_timeout = 1.0
    made.queueing.exit_timeout = 0.5
    made.networking.error_backoffs = _Patience()
    for resource in LABELLED:
        made.watching.label_selectors[_selector(resource)] = LABEL_MODEL
    made.watching.field_selectors[_selector(API_SERVICES)] = API_SERVICE_FIELD
    return made


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
