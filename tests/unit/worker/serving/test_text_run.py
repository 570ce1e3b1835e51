"""Vectors given back to the inputs that they are of, and what is too much for one call."""

import asyncio
import dataclasses
from typing import Any

import numpy as np
import pytest

from lepton_worker.errors import InternalError, InvalidRequest, OutOfMemory, Violation
from lepton_worker.model import Model
from lepton_worker.request import Encoded, EncodeJob, Task, Tokens, Vector
from lepton_worker.serving import text_run
from lepton_worker.serving.text_run import OpenCall, outcomes
from lepton_worker.tasks.reading import Reading
from lepton_worker.tasks.windows import Window

WRONG = InvalidRequest([Violation("inputs[1]", "must not be empty")])


def a_reading(*counts: int) -> Reading:
    """One window for each count of tokens."""
    return Reading(tuple(Window(Tokens((1,) * count), 0, count) for count in counts))


def vector(value: float) -> Vector:
    return np.array([value], np.float32)


def test_each_input_gets_its_own_vectors() -> None:
    readings = [a_reading(3, 1), Reading(error=WRONG), a_reading(2)]
    first, wrong, last = outcomes(readings, [vector(1), vector(5), vector(7)])
    assert first.mean().tolist() == [2]
    assert first.mean(lambda values: values * 10).tolist() == [20]
    assert (wrong.error, wrong.vectors) == (WRONG, ())
    assert last.mean().tolist() == [7]
    assert (first.status, last.status) == (None, None)


@pytest.mark.parametrize(
    ("failure", "kind", "shown"),
    [
        (OutOfMemory("no room for it"), OutOfMemory, "no room for it"),
        (ValueError("a secret"), InternalError, "the worker failed on this input"),
    ],
)
def test_a_window_that_fails_fails_its_input_alone(
    failure: Exception, kind: type[Exception], shown: str
) -> None:
    found = outcomes([a_reading(3, 1), a_reading(2)], [vector(1), failure, vector(7)])
    assert isinstance(found[0].error, kind)
    assert found[0].status is not None
    assert found[0].status.message.startswith(shown)
    assert found[1].mean().tolist() == [7]


class FakeSeat:
    """Gives each input the number of its tokens."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.jobs: list[EncodeJob] = []

    async def encoded(self, job: EncodeJob) -> Encoded:
        self.jobs.append(job)
        return Encoded(tuple(vector(len(tokens)) for tokens in job.inputs))


class FakeWorker:
    """Counts tokens."""

    def __init__(self) -> None:
        self.metrics = self.prompt_tokens = self
        self.count = 0

    def inc(self, count: int) -> None:
        self.count += count


def a_call(model: Model, task: Task) -> tuple[OpenCall, FakeSeat, FakeWorker]:
    seat, worker = FakeSeat(model), FakeWorker()
    make: Any = OpenCall
    return make(worker, seat, task), seat, worker


def test_only_what_can_run_runs_and_is_counted(echo_model: Model) -> None:
    call, seat, worker = a_call(echo_model, Task.EMBED)
    ran = asyncio.run(call.run([Reading(error=WRONG), a_reading(2), a_reading(3)]))
    assert [len(job.inputs) for job in seat.jobs] == [2]
    assert (ran.usage.prompt_tokens, worker.count) == (5, 5)
    assert [item.error for item in ran.outcomes] == [WRONG, None, None]
    none = asyncio.run(call.run([Reading(error=WRONG)]))
    assert len(seat.jobs) == 1
    assert none.usage.prompt_tokens == 0


@pytest.mark.parametrize(
    ("task", "tokens", "rows", "words"),
    [
        (Task.EMBED, 1000, 3, ""),
        (Task.EMBED, 1, 4, "documents: become 4 texts .* more than 3"),
        (Task.TAG, 10, 3, ""),
        (Task.TAG, 11, 3, "documents: become 33 tokens .* more than 30"),
        (Task.ANSWER, 11, 3, "documents: become 33 tokens"),
    ],
)
def test_too_much_for_one_call(
    echo_model: Model,
    monkeypatch: pytest.MonkeyPatch,
    task: Task,
    tokens: int,
    rows: int,
    words: str,
) -> None:
    monkeypatch.setattr(text_run, "MOST_ROWS", 3)
    monkeypatch.setattr(text_run, "MOST_TOKENS", 30)
    model = dataclasses.replace(echo_model, max_length=2000)
    call, seat, _ = a_call(model, task)
    work = call.run([a_reading(tokens)] * rows, "documents")
    if not words:
        assert len(asyncio.run(work).outcomes) == rows
        return
    with pytest.raises(InvalidRequest, match=words):
        asyncio.run(work)
    assert not seat.jobs
