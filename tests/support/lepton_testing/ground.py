"""A worker on a model whose inside tests look at: what it holds, and what it leaves."""

import contextlib
import dataclasses
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lepton.v1 import generation_pb2
from lepton_testing.driven import leftovers
from lepton_testing.families import opened
from lepton_testing.hosted import Host, Served
from lepton_worker.engine.core import Core
from lepton_worker.request import Task

SLOTS = 4
NEW = 10
"""Tokens of an answer."""
PATIENCE = 30.0
GUILTY = 285
"""A token that no prompt has: tests let the model fail at it."""


@dataclasses.dataclass(frozen=True)
class Ground:
    """A worker, what is inside, and where the model comes from."""

    served: Served
    core: Core
    backend: Any
    folder: Path

    def is_empty(self) -> bool:
        """Whether nothing is in hand, neither in front nor in the engine nor in the backend."""
        engine = self.served.worker._engine
        front = engine.waiting + engine.running + len(engine._streams)
        return not front and not leftovers(self.core, self.backend)

    def check_empty(self) -> None:
        """Wait until it is: what ends a call may come before the engine hears of it."""
        deadline = time.monotonic() + PATIENCE
        while not self.is_empty() and time.monotonic() < deadline:
            time.sleep(0.005)
        assert leftovers(self.core, self.backend) == {}
        assert self.is_empty()


@contextlib.contextmanager
def ground(host: Host, folder: Path, task: Task = Task.GENERATE) -> Iterator[Ground]:
    """A worker on the native backend in float32."""
    backend, model = opened(folder, task, slots=SLOTS)
    assert model.backend == "native"
    with host.lent(backend, model) as (served, core):
        yield Ground(served, core, backend, folder)


def prompts() -> list[list[int]]:
    """Innocent ones, of several lengths."""
    numbers = random.Random(3)
    allowed = [token for token in range(3, 590) if token != GUILTY]
    return [numbers.choices(allowed, k=length) for length in (4, 17, 9, 30, 2, 12)]


def ask(served: Served, prompt: list[int], new: int = NEW, **options: Any) -> Any:
    """The stream of an answer that goes on to its last token."""
    request = generation_pb2.GenerateRequest(
        tokens=generation_pb2.TokenIds(ids=prompt),
        sampling=generation_pb2.Sampling(max_new_tokens=new, ignore_eos=True, **options),
    )
    return served.generation.Generate(request, timeout=60)


def ids(stream: Any) -> list[int]:
    """The tokens of a stream."""
    return [token for event in stream for token in event.delta.token_ids]
