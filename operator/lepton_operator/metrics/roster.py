"""Which workers each model has, out of EndpointSlices."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from lepton_operator.api.names import LABEL_MODEL, PORT_GRPC, PORT_NAME_GRPC
from lepton_operator.metrics.freshness import Source


class ModelKey(NamedTuple):
    """Where a model is found."""

    namespace: str
    name: str


@dataclass(frozen=True)
class Slice:
    """What one EndpointSlice says of one model."""

    model: ModelKey
    endpoints: tuple["Endpoint", ...]


@dataclass(frozen=True)
class Endpoint:
    """One address in a slice; a worker may have several, in one slice or in two."""

    id: str
    name: str
    address: str
    ready: bool
    terminating: bool


class Roster:
    """The workers of every model in view; changed slice by slice, in any order."""

    def __init__(self) -> None:
        self._slices: dict[tuple[str, str], Slice] = {}
        self._names: dict[ModelKey, set[tuple[str, str]]] = {}
        self._sources: dict[ModelKey, tuple[Source, ...]] = {}

    def replace(self, namespace: str | None, items: Iterable[dict[str, Any]]) -> None:
        """Take a fresh list of a namespace's slices; of all namespaces when it is None."""
        items = list(items)
        kept = {_name(item) for item in items}
        for name in list(self._slices):
            if namespace in (None, name[0]) and name not in kept:
                self._forget(name)
        for item in items:
            self.put(item)

    def put(self, item: dict[str, Any]) -> None:
        """Take a slice as it is now."""
        name = _name(item)
        self._forget(name)
        if (parsed := parse(item)) is None:
            return
        self._slices[name] = parsed
        self._names.setdefault(parsed.model, set()).add(name)
        self._merge(parsed.model)

    def drop(self, item: dict[str, Any]) -> None:
        """Take notice that a slice is gone."""
        self._forget(_name(item))

    def models(self, namespace: str) -> list[str]:
        """Names of the models that have workers, or had some and keep their place."""
        return sorted(key.name for key in self._sources if key.namespace == namespace)

    def __iter__(self) -> Iterator[ModelKey]:
        return iter(list(self._sources))

    def sources(self, model: ModelKey) -> tuple[Source, ...]:
        """Workers of a model; none when it is not known."""
        return self._sources.get(model, ())

    def all(self) -> Iterator[tuple[ModelKey, Source]]:
        """Every worker of every model."""
        for model, sources in self._sources.items():
            for source in sources:
                yield model, source

    def _forget(self, name: tuple[str, str]) -> None:
        if (known := self._slices.pop(name, None)) is None:
            return
        names = self._names[known.model]
        names.discard(name)
        if names:
            self._merge(known.model)
        else:
            del self._names[known.model], self._sources[known.model]

    def _merge(self, model: ModelKey) -> None:
        slices = (self._slices[name] for name in sorted(self._names[model]))
        self._sources[model] = merged(endpoint for part in slices for endpoint in part.endpoints)


def merged(endpoints: Iterable[Endpoint]) -> tuple[Source, ...]:
    """Each worker once, though two slices (old and new, IPv4 and IPv6) may name it.

    Of two views the later one wins, and a worker's life tells which that is: it becomes ready, then
    it terminates.
    """
    copies: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints:
        copies.setdefault(endpoint.id, []).append(endpoint)
    return tuple(
        Source(
            id=first.id,
            name=first.name,
            address=first.address,
            ready=any(copy.ready for copy in same) and not any(copy.terminating for copy in same),
        )
        for same in copies.values()
        for first in same[:1]
    )


def parse(item: dict[str, Any]) -> Slice | None:
    """One EndpointSlice of the API server; None when it carries no model's name."""
    metadata = item["metadata"]
    name = (metadata.get("labels") or {}).get(LABEL_MODEL)
    if not name:
        return None
    namespace, port = metadata["namespace"], _port(item.get("ports") or [])
    return Slice(
        model=ModelKey(namespace, name),
        endpoints=tuple(
            _endpoint(namespace, endpoint, port)
            for endpoint in item.get("endpoints") or []
            if endpoint.get("addresses")
        ),
    )


def _endpoint(namespace: str, endpoint: dict[str, Any], port: int) -> Endpoint:
    # Addresses of one endpoint are interchangeable; by the API's rule only the first is used.
    host = endpoint["addresses"][0]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    conditions, target = endpoint.get("conditions") or {}, endpoint.get("targetRef") or {}
    ready = conditions.get("ready")
    # `serving` leaves out the Service's publishNotReadyAddresses; unset, each means yes.
    serving = conditions.get("serving")
    return Endpoint(
        id=target.get("uid") or f"{namespace}/{target.get('name') or address}",
        name=target.get("name") or endpoint.get("hostname") or address,
        address=address,
        ready=serving if serving is not None else ready is not False,
        terminating=bool(conditions.get("terminating")),
    )


def _port(ports: list[dict[str, Any]]) -> int:
    named = [port["port"] for port in ports if port.get("name") == PORT_NAME_GRPC]
    alone = [port["port"] for port in ports if len(ports) == 1]
    return next(iter(port for port in named + alone if port), PORT_GRPC)


def _name(item: dict[str, Any]) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]
