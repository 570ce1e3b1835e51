"""The workers in view and their load: roster, collector and the watches that feed them, as one."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lepton_operator.api.names import ENDPOINTS_WORKERS, LABEL_ENDPOINTS
from lepton_operator.metrics.apiserver import ApiServer, Json
from lepton_operator.metrics.collector import Collector, Tools
from lepton_operator.metrics.freshness import Depth, Unknown
from lepton_operator.metrics.reflector import WATCH_SECONDS, Reflector, Selection
from lepton_operator.metrics.roster import ModelKey, Roster

LIFETIME = WATCH_SECONDS + 10.0
"""Seconds for which the list of workers counts without a sign of life from the API server. With an
older one, workers may have been added whose queue is missed."""


@dataclass(frozen=True)
class _Feed:
    """Puts the slices of one namespace (of all when None) into the roster."""

    namespace: str | None
    roster: Roster
    collector: Collector

    def replace(self, items: Sequence[Json]) -> None:
        self.roster.replace(self.namespace, items)
        self.collector.follow()

    def put(self, item: Json) -> None:
        self.roster.put(item)
        self.collector.follow()

    def drop(self, item: Json) -> None:
        self.roster.drop(item)
        self.collector.follow()


class View:
    """Queue depths of all models of the watched namespaces (all when there are none)."""

    def __init__(self, server: ApiServer, namespaces: Sequence[str], tools: Tools) -> None:
        self._tools, self._roster = tools, Roster()
        self._collector = Collector(self._roster, tools)
        self._reflectors = {
            namespace: Reflector(
                server=server,
                selection=_slices(namespace),
                sink=_Feed(namespace, self._roster, self._collector),
                clock=tools.clock,
                restarted=tools.telemetry.watch_failed("endpointslices"),
            )
            for namespace in (namespaces or (None,))
        }
        self._complete = False

    async def run(self) -> None:
        """Watch and ask until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._collector.run())
            for reflector in self._reflectors.values():
                group.create_task(reflector.run())

    def unseen(self, namespace: str) -> str | None:
        """Why nothing is known of a namespace; None when its workers are in view."""
        reflector = self._reflectors.get(namespace) or self._reflectors.get(None)
        if reflector is None:
            return "this installation does not watch it (LEPTON_WATCH_NAMESPACES)"
        if reflector.seen_at is None:
            return f"its workers were not listed yet: {reflector.trouble or 'just starting'}"
        age = self._tools.clock() - reflector.seen_at
        if age > LIFETIME:
            return f"its workers were listed {age:.0f} s ago: {reflector.trouble or 'no news'}"
        return None

    def models(self, namespace: str) -> list[str]:
        """Models in view."""
        return self._roster.models(namespace)

    def depth(self, model: ModelKey) -> Depth | Unknown:
        """Queue depth of one of them, now."""
        return self._collector.depth(model)

    def depths(self) -> Iterator[tuple[ModelKey, Depth | Unknown]]:
        """All models with their queue depths."""
        for model in self._roster:
            why = self.unseen(model.namespace)
            yield model, Unknown(why) if why else self.depth(model)

    def sources(self) -> Iterable[bool]:
        """For each worker, whether it is ready."""
        return (source.ready for _, source in self._roster.all())

    def missing(self) -> str | None:
        """What the first complete collection still lacks; None from there on, for ever."""
        if not self._complete:
            late = [
                reflector for reflector in self._reflectors.values() if reflector.seen_at is None
            ]
            if late:
                return f"EndpointSlices not listed yet: {late[0].trouble or 'just starting'}"
            if not self._collector.asked_all():
                return "not every worker was asked yet"
            self._complete = True
        return None


def _slices(namespace: str | None) -> Selection:
    inside = f"/namespaces/{namespace}" if namespace else ""
    return Selection(
        what=f"EndpointSlices of workers in {namespace or 'all namespaces'}",
        path=f"/apis/discovery.k8s.io/v1{inside}/endpointslices",
        query={"labelSelector": f"{LABEL_ENDPOINTS}={ENDPOINTS_WORKERS}"},
    )
