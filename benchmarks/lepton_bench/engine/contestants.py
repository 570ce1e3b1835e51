"""Whoever takes part: a server under the load generator, or an engine that is told to run."""

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lepton_bench.engine import load
from lepton_bench.engine.environments import Unavailable
from lepton_bench.engine.outcome import OK, Record, Summary, summary
from lepton_bench.engine.processes import Child, Ended
from lepton_bench.engine.target import Refused, Target, whole
from lepton_bench.engine.workload import Item

START_SECONDS = 180.0
HELLO = Item("ba", prompt_tokens=1, new_tokens=2)
"""What a starting server is asked until it answers."""


@dataclass(frozen=True)
class Run:
    """A closed-loop run; `summary` and `records` only of servers."""

    seconds: float
    new_tokens_s: float
    prompt_tokens_s: float
    cpu_seconds: float
    failed: int = 0
    summary: Summary | None = None
    records: list[Record] = field(default_factory=list)

    @property
    def cpu_rate(self) -> float | None:
        """Tokens in and out for each second of processor time; waiting for it costs nothing."""
        tokens = (self.new_tokens_s + self.prompt_tokens_s) * self.seconds
        return tokens / self.cpu_seconds if self.cpu_seconds else None


class Contestant(ABC):
    """A child process that answers items. Start it, run it, pause it, stop it."""

    def __init__(self, name: str, spawn: Callable[[], Child]) -> None:
        self.name = name
        self._spawn = spawn
        self._child: Child | None = None
        self.versions: dict[str, str] = {}

    @property
    def child(self) -> Child:
        """The running process."""
        if self._child is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._child

    async def start(self) -> float:
        """Start it and wait for its first answer; seconds. Raises Unavailable."""
        begin = time.perf_counter()
        try:
            # Threads: installing and converting take minutes.
            self._child = await asyncio.to_thread(self._spawn)
            async with asyncio.timeout(START_SECONDS):
                began = await self._ready()
        except Ended as error:
            await self.stop()
            raise Unavailable(f"{self.name} {error}") from None
        except TimeoutError:
            await self.stop()
            raise Unavailable(f"{self.name} gave no answer in {START_SECONDS:g} s") from None
        return began - begin

    @abstractmethod
    async def _ready(self) -> float:
        """Wait until it can be measured; the moment of that."""

    @abstractmethod
    async def run(self, items: Sequence[Item], callers: int) -> Run:
        """Answer all items, so many at once."""

    async def stop(self) -> None:
        """End the process, if it runs."""
        if self._child is not None:
            await asyncio.to_thread(self._child.stop)
            self._child = None


class Server(Contestant):
    """A server, asked by the load generator over the network interface of this machine."""

    def __init__(self, name: str, spawn: Callable[[], Child], connect: Callable[[], Target]):
        super().__init__(name, spawn)
        self._connect = connect
        self._target: Target | None = None

    @property
    def target(self) -> Target:
        """The connection to it."""
        if self._target is None:
            self._target = self._connect()
        return self._target

    async def _ready(self) -> float:
        while True:
            self.child.check()
            try:
                await whole(self.target, HELLO)
                return time.perf_counter()
            except Refused:
                await asyncio.sleep(0.05)

    async def run(self, items: Sequence[Item], callers: int) -> Run:
        """The closed loop; raises Unavailable when it answers nothing."""
        cpu = self.child.cpu_seconds()
        records, seconds = await load.closed(self.target, items, callers)
        found = summary(records, seconds)
        if not found.answered:
            raise Unavailable(f"{self.name} answers nothing: {found.errors}")
        return Run(
            seconds=seconds,
            new_tokens_s=found.new_tokens_s,
            prompt_tokens_s=found.prompt_tokens_s,
            cpu_seconds=self.child.cpu_seconds() - cpu,
            failed=sum(record.outcome != OK for record in records),
            summary=found,
            records=records,
        )

    async def stop(self) -> None:
        """Close the connection and end the process."""
        if self._target is not None:
            await self._target.close()
            self._target = None
        await super().stop()


class Engine(Contestant):
    """A library in a process that reads runs from its standard input."""

    async def _ready(self) -> float:
        self.versions = (await self._line())["versions"]
        return time.perf_counter()

    async def run(self, items: Sequence[Item], callers: int) -> Run:
        """Have all items computed; raises Unavailable when the engine cannot."""
        cpu = self.child.cpu_seconds()
        stdin = self.child.process.stdin
        assert stdin is not None
        stdin.write(
            json.dumps({"items": [asdict(item) for item in items], "callers": callers}) + "\n"
        )
        stdin.flush()
        answer = await self._line()
        if "error" in answer:
            raise Unavailable(f"{self.name}: {answer['error']}")
        seconds = answer["seconds"]
        return Run(
            seconds=seconds,
            new_tokens_s=answer["tokens"] / seconds,
            prompt_tokens_s=sum(item.prompt_tokens for item in items) / seconds,
            cpu_seconds=self.child.cpu_seconds() - cpu,
        )

    async def _line(self) -> dict[str, Any]:
        stdout = self.child.process.stdout
        assert stdout is not None
        line = await asyncio.to_thread(stdout.readline)
        if not line:
            await asyncio.sleep(0.2)  # until its status can be read
            self.child.check()
            raise Ended("closed its output")
        found: dict[str, Any] = json.loads(line)
        return found
