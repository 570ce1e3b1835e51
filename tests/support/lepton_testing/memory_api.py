"""An API server in memory: lists, watches, creates, replaces and applies what tests put in."""

import asyncio
import copy
from collections.abc import AsyncGenerator, Mapping

from lepton_operator.metrics.apiserver import CONNECTED, ApiError, Json


class MemoryApi:
    """Objects by the path of their collection; each write has a resource version and is watched."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, Json]] = {}
        self._watchers: list[tuple[str, asyncio.Queue[Json]]] = []
        self._version = 0
        self.calls: list[tuple[str, str]] = []
        self.denied: dict[str, ApiError] = {}
        """Method → what it raises instead of doing anything."""

        self.refused = asyncio.Event()
        """Set by the first call that was denied."""

    def get(self, collection: str, name: str) -> Json:
        """An object as it is."""
        return copy.deepcopy(self._objects[collection][name])

    def put(self, collection: str, item: Json) -> Json:
        """Write an object as somebody else would."""
        self._version += 1
        name, kept = item["metadata"]["name"], self._objects.setdefault(collection, {})
        kind = "MODIFIED" if name in kept else "ADDED"
        item = copy.deepcopy(item)
        item["metadata"] |= {"resourceVersion": str(self._version), "uid": f"uid-{name}"}
        kept[name] = item
        self._tell(collection, {"type": kind, "object": copy.deepcopy(item)})
        return copy.deepcopy(item)

    def delete(self, collection: str, name: str) -> None:
        """Remove an object as somebody else would."""
        self._version += 1
        gone = self._objects[collection].pop(name)
        gone["metadata"]["resourceVersion"] = str(self._version)
        self._tell(collection, {"type": "DELETED", "object": gone})

    async def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
    ) -> Json:
        """One request, as of lepton_operator.metrics.apiserver.ApiServer."""
        self.calls.append((method, path))
        await asyncio.sleep(0)
        if method in self.denied:
            self.refused.set()
            raise self.denied[method]
        if path in self._objects or method == "POST":
            return self._list(path) if method == "GET" else self._create(path, body or {})
        collection, _, name = path.rpartition("/")
        if name not in self._objects.get(collection, {}):
            # A collection without objects looks like an object without a collection.
            return self._list(path)
        if method == "GET":
            return self.get(collection, name)
        return self._write(method, collection, name, body or {})

    async def watch(
        self, path: str, query: Mapping[str, str], seconds: int
    ) -> AsyncGenerator[Json]:
        """Events since the list; never ends by itself."""
        queue: asyncio.Queue[Json] = asyncio.Queue()
        self._watchers.append((path, queue))
        yield {"type": CONNECTED}
        for item in self._list(path)["items"]:
            if int(item["metadata"]["resourceVersion"]) > int(query["resourceVersion"]):
                yield {"type": "ADDED", "object": item}
        while True:
            yield await queue.get()

    def _list(self, path: str) -> Json:
        items = [copy.deepcopy(item) for item in self._objects.get(path, {}).values()]
        return {"metadata": {"resourceVersion": str(self._version)}, "items": items}

    def _create(self, path: str, body: Json) -> Json:
        if body["metadata"]["name"] in self._objects.get(path, {}):
            raise ApiError(409, "already exists")
        return self.put(path, body)

    def _write(self, method: str, collection: str, name: str, body: Json) -> Json:
        old = self._objects[collection][name]
        if body["metadata"].get("resourceVersion") != old["metadata"]["resourceVersion"]:
            raise ApiError(409, "the object has been modified")
        if method == "PATCH":
            body = {**old, "spec": {**old["spec"], **body["spec"]}}
        return self.put(collection, body)

    def _tell(self, collection: str, event: Json) -> None:
        for path, queue in self._watchers:
            if path == collection:
                queue.put_nowait(event)
