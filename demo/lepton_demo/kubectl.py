"""The only module that talks to the API server, through kubectl."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from lepton_demo import processes
from lepton_demo.errors import CommandFailed
from lepton_demo.watching import Documents, Object, Objects


class Watch:
    """The objects of one kind as the API server last showed them."""

    def __init__(self) -> None:
        self.objects = Objects()
        self._changed = asyncio.Event()

    def replace(self, objects: Objects) -> None:
        """Start over: a new watch begins with every object that exists."""
        self.objects = objects
        self._changed.set()

    def apply(self, event: Object) -> None:
        """Take one event over and wake whoever waits for a change."""
        self.objects.apply(event)
        self._changed.set()

    async def changed(self, seconds: float) -> None:
        """Wait for the next change, that long at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()


@dataclass(frozen=True)
class Kubectl:
    """kubectl for one cluster."""

    environ: Mapping[str, str]
    context: str | None = None
    restart_seconds: float = 1.0
    """Pause before a watch that ended is started again."""

    def argv(self, *args: str) -> list[str]:
        """Return the command line for these arguments."""
        chosen = ["--context", self.context] if self.context else []
        return ["kubectl", *chosen, *args]

    async def run(self, *args: str, stdin: str | None = None) -> str:
        """Run kubectl to its end; raises CommandFailed."""
        return await processes.run(self.argv(*args), environ=self.environ, stdin=stdin)

    async def json(self, *args: str) -> Object:
        """Return what `kubectl get ARGS -o json` shows."""
        found: Object = json.loads(await self.run("get", *args, "-o", "json"))
        return found

    async def exists(self, *args: str) -> bool:
        """Say whether `kubectl get ARGS` finds anything."""
        return bool((await self.run("get", *args, "--ignore-not-found", "-o", "name")).strip())

    async def raw(self, path: str, **query: str) -> Object | None:
        """Return the answer of the API server to a GET; None when it has none (404, 503 ...)."""
        text = "&".join(f"{key}={quote(value)}" for key, value in query.items())
        try:
            answer = await self.run("get", "--raw", f"{path}?{text}" if text else path)
        except CommandFailed:
            return None
        found: dict[str, Any] = json.loads(answer)
        return found

    @asynccontextmanager
    async def watch(self, *args: str) -> AsyncIterator[Watch]:
        """Objects of `kubectl get ARGS`, kept up to date in the background."""
        watch = Watch()
        task = asyncio.create_task(self._keep(watch, args))
        try:
            yield watch
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _keep(self, watch: Watch, args: Sequence[str]) -> None:
        argv = self.argv("get", *args, "--watch", "--output-watch-events", "-o", "json")
        while True:
            async with processes.started(argv, environ=self.environ, errors=False) as process:
                assert process.stdout is not None
                documents, fresh = Documents(), Objects()
                async for line in process.stdout:
                    event = documents.feed(line.decode())
                    if event is None:
                        continue
                    if watch.objects is not fresh:
                        watch.replace(fresh)
                    watch.apply(event)
            await asyncio.sleep(self.restart_seconds)
