"""How this machine gets to a model: straight to the pods, or through kubectl's port-forward."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from lepton_demo import processes
from lepton_demo.errors import NotReached
from lepton_demo.kubectl import Kubectl, Watch
from lepton_demo.reading import Stage, ready_addresses, service_address, stage

FORWARD_SECONDS = 20.0
LOOK_SECONDS = 1.0
PORT = 9000
_FORWARDING = re.compile(r"Forwarding from (127\.0\.0\.1:\d+) ->")


class Reach(Protocol):
    """Ways to the models of one namespace."""

    def service(self, model: str) -> AbstractAsyncContextManager[str]:
        """Address of a model, whichever worker answers, while the block lasts."""

    def workers(self, model: str) -> AbstractAsyncContextManager[Callable[[], Sequence[str]]]:
        """Function that returns the addresses of the workers that are ready at that moment."""


class Direct:
    """Service and pod addresses answer from here: this machine is the node."""

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        self._kubectl = kubectl
        self._namespace = namespace

    @asynccontextmanager
    async def service(self, model: str) -> AsyncIterator[str]:
        """Address of the model's Service."""
        yield service_address(await self._kubectl.json("service", model, "-n", self._namespace))

    @asynccontextmanager
    async def workers(self, model: str) -> AsyncIterator[Callable[[], Sequence[str]]]:
        """Addresses of the ready endpoints of the headless Service."""
        chosen = f"lepton.ai/model={model},lepton.ai/endpoints=workers"
        args = ("endpointslices", "-n", self._namespace, "-l", chosen)
        async with self._kubectl.watch(*args) as slices:

            def addresses() -> list[str]:
                return ready_addresses(slices.objects.all())

            await _first(addresses, slices)
            yield addresses


class Forwarded:
    """Everything goes through the API server, as from any laptop."""

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        self._kubectl = kubectl
        self._namespace = namespace

    @asynccontextmanager
    async def service(self, model: str) -> AsyncIterator[str]:
        """Local end of a port-forward to the model's Service."""
        async with self._forward(f"service/{model}") as forward:
            yield forward.address

    @asynccontextmanager
    async def workers(self, model: str) -> AsyncIterator[Callable[[], Sequence[str]]]:
        """Local ends of one port-forward to each ready worker."""
        args = ("pods", "-n", self._namespace, "-l", f"lepton.ai/model={model}")
        async with self._kubectl.watch(*args) as pods:
            forwards = _Forwards(pods, self._forward)
            task = asyncio.create_task(forwards.follow())
            try:
                await _first(forwards.addresses, pods)
                yield forwards.addresses
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    @asynccontextmanager
    async def _forward(self, thing: str) -> AsyncIterator["_Forward"]:
        argv = self._kubectl.argv("port-forward", "-n", self._namespace, thing, f":{PORT}")
        async with processes.started(argv, environ=self._kubectl.environ, errors=False) as process:
            address = await _announced(process)
            if address is None:
                raise NotReached(f"kubectl could not forward a port to {thing}.", [" ".join(argv)])
            yield _Forward(address, process)


@dataclass(frozen=True)
class _Forward:
    address: str
    process: asyncio.subprocess.Process


class _Forwards:
    """A forward for each worker, from the moment it is ready until it is gone."""

    def __init__(
        self, pods: Watch, forward: Callable[[str], AbstractAsyncContextManager[_Forward]]
    ) -> None:
        self._pods = pods
        self._forward = forward
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._addresses: dict[str, str] = {}

    def addresses(self) -> list[str]:
        """Local addresses of the workers that take calls now."""
        ready = self._names(Stage.READY)
        return [address for name, address in self._addresses.items() if name in ready]

    async def follow(self) -> None:
        """Open and close forwards as pods come and go."""
        try:
            while True:
                self._adjust()
                await self._pods.changed(LOOK_SECONDS)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _adjust(self) -> None:
        # A terminating worker keeps its forward: what it has in hand is still answered through it.
        for name in self._tasks.keys() - self._names(Stage.READY, Stage.TERMINATING):
            self._tasks.pop(name).cancel()
        for name in self._names(Stage.READY):
            if name not in self._tasks or self._tasks[name].done():
                self._tasks[name] = asyncio.create_task(self._hold(name))

    async def _hold(self, pod: str) -> None:
        try:
            async with self._forward(f"pod/{pod}") as forward:
                self._addresses[pod] = forward.address
                await forward.process.wait()
        except NotReached:
            return  # tried again while the pod is ready
        finally:
            self._addresses.pop(pod, None)

    def _names(self, *stages: Stage) -> set[str]:
        found = self._pods.objects.all()
        return {pod["metadata"]["name"] for pod in found if stage(pod) in stages}


async def _first(addresses: Callable[[], Sequence[str]], watch: Watch) -> None:
    """Wait until there is a worker to be asked; not for ever, since there may be none."""
    with suppress(TimeoutError):
        async with asyncio.timeout(FORWARD_SECONDS):
            while not addresses():
                await watch.changed(LOOK_SECONDS / 4)


async def _announced(process: asyncio.subprocess.Process) -> str | None:
    """Return the local address that kubectl prints; None when it ends or stays silent."""
    assert process.stdout is not None
    with suppress(TimeoutError):
        async with asyncio.timeout(FORWARD_SECONDS):
            async for line in process.stdout:
                if match := _FORWARDING.search(line.decode()):
                    return match[1]
    return None
