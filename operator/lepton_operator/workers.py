"""The workers: the only module that calls them, to ask once for each pod template what they run."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lepton_operator.api.names import PORT_GRPC
from lepton_operator.api.objects import Key
from lepton_operator.status import Info

DEADLINE = 2.0
AT_ONCE = 8
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0

logger = logging.getLogger(__name__)

Ask = Callable[[str], Awaitable[Info | None]]
"""Asks the worker at an address; None while it does not know. Raises OSError without an answer."""


@dataclass(frozen=True)
class _Heard:
    """What came of asking about one template."""

    template: str
    info: Info | None = None
    failures: int = 0
    again_at: float = 0.0


class Interviews:
    """Answers by model. Asking happens beside the passes, so that no pass waits for a worker."""

    def __init__(self, ask: Ask, wake: Callable[[Key, float], None]) -> None:
        """`wake` brings the model's next pass, so many seconds from now."""
        self._ask = ask
        self._wake = wake
        self._heard: dict[Key, _Heard] = {}
        self._asking: dict[Key, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)

    def answer(self, key: Key, template: str, host: str) -> Info | None:
        """What the workers of that template said; when it is not known, it is asked for."""
        heard = self._heard.get(key)
        if heard is None or heard.template != template:
            heard = _Heard(template)
        if heard.info is None and key not in self._asking:
            pause = heard.again_at - asyncio.get_running_loop().time()
            if pause > 0:
                # Once more: the pass that was to come then may be this one, come early.
                self._wake(key, pause)
            else:
                self._asking[key] = asyncio.create_task(self._interview(key, heard, address(host)))
        return heard.info

    def known(self, key: Key, template: str) -> Info | None:
        """What the workers of that template said, without asking."""
        heard = self._heard.get(key)
        return heard.info if heard and heard.template == template else None

    def forget(self, key: Key) -> None:
        """The model is gone."""
        self._heard.pop(key, None)

    async def settled(self) -> None:
        """Wait until nobody is being asked."""
        while self._asking:
            await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def close(self) -> None:
        """Stop asking."""
        for task in self._asking.values():
            task.cancel()
        await self.settled()

    async def _interview(self, key: Key, heard: _Heard, where: str) -> None:
        try:
            info = await self._answer(where)
            pause = 0.0 if info else min(LONGEST_PAUSE, FIRST_PAUSE * 2**heard.failures)
            again_at = asyncio.get_running_loop().time() + pause
            self._heard[key] = _Heard(heard.template, info, heard.failures + 1, again_at)
            self._wake(key, pause)
        finally:
            del self._asking[key]

    async def _answer(self, where: str) -> Info | None:
        async with self._room:
            try:
                return await asyncio.wait_for(self._ask(where), 2 * DEADLINE)
            except OSError as error:
                logger.debug("worker at %s does not say what it runs: %s", where, error)
            except Exception:
                logger.exception("asking the worker at %s failed", where)
            return None


def address(host: str) -> str:
    """Host and port of a worker's gRPC; an IPv6 address gets its brackets."""
    return f"[{host}]:{PORT_GRPC}" if ":" in host else f"{host}:{PORT_GRPC}"


async def ask(where: str) -> Info | None:
    """`GetModelInfo` of a worker; None while it loads. Raises OSError without an answer."""
    # Imported with the first worker to ask: it is heavy, and not every operator has one.
    import grpc

    from lepton.v1.control_pb2 import GetModelInfoRequest, ModelInfo
    from lepton.v1.control_pb2_grpc import ControlStub

    try:
        # Pods are reached directly, whatever proxy the environment names for the world outside.
        options = [("grpc.enable_http_proxy", 0)]
        async with grpc.aio.insecure_channel(where, options=options) as channel:
            stub = ControlStub(channel)
            found: ModelInfo = await stub.GetModelInfo(GetModelInfoRequest(), timeout=DEADLINE)
    except grpc.aio.AioRpcError as error:
        raise ConnectionError(f"{error.code().name}: {error.details()}") from error
    if found.state != ModelInfo.STATE_SERVING or not found.task:
        return None
    fields = {
        "backend": found.backend,
        "device": found.device,
        "dtype": found.dtype,
        "architecture": found.architecture,
        "maxLength": found.max_length,
    }
    return Info(found.task, {key: value for key, value in fields.items() if value})
