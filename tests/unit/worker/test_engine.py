"""The loop over a backend that needs no model: order, isolation of failures, cancelling, ending."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from lepton_worker.backends.base import DecoderSequence
from lepton_worker.backends.echo import EchoBackend
from lepton_worker.engine.engine import Engine, Loaded
from lepton_worker.engine.outbox import Outbox
from lepton_worker.errors import (
    DeadlineExceeded,
    DeviceLost,
    Draining,
    InternalError,
    OutOfMemory,
    QueueFull,
    RequestError,
)
from lepton_worker.metrics import Metrics
from lepton_worker.model import Model
from lepton_worker.request import (
    Delta,
    Encoded,
    EncodeJob,
    Event,
    Finish,
    FinishReason,
    GenerateJob,
    Sampling,
    Task,
    Tokens,
    Vector,
)
from lepton_worker.scheduler.scheduler import Limits

POISON, HUNGER, END_OF_WORLD = 66, 77, 88


class TestBackend(EchoBackend):
    """Echo, but it waits for permission before each step, and fails on certain tokens."""

    __test__ = False

    def __init__(self) -> None:
        super().__init__()
        self.steps = threading.Semaphore(0)
        self._begun = threading.Semaphore(0)
        self.batches: list[list[tuple[int, ...]]] = []
        self.released: list[DecoderSequence] = []

    async def begins(self, steps: int = 1) -> None:
        """Wait until so many more steps have begun."""
        for _ in range(steps):
            assert await asyncio.to_thread(self._begun.acquire, timeout=10)

    def _pass(self) -> None:
        self._begun.release()
        self.steps.acquire()

    def free(self) -> "TestBackend":
        """Let every step pass."""
        self.steps.release(10_000)
        return self

    def encode(self, inputs: Sequence[Tokens]) -> list[Vector]:
        self._pass()
        self.batches.append([tokens.ids for tokens in inputs])
        if any(POISON in tokens.ids for tokens in inputs):
            raise ZeroDivisionError("secret")
        if any(HUNGER in tokens.ids for tokens in inputs):
            raise OutOfMemory("there was not enough memory for this request")
        return super().encode(inputs)

    def decode(self, batch: Sequence[DecoderSequence]) -> list[int | RequestError]:
        self._pass()
        self.batches.append([sequence.prompt.ids for sequence in batch])
        results = super().decode(batch)
        for index, sequence in enumerate(batch):
            if HUNGER in sequence.prompt.ids:
                results[index] = OutOfMemory("no memory")
            if END_OF_WORLD in sequence.prompt.ids:
                results[index] = DeviceLost("lost")
        return results

    def release(self, sequence: DecoderSequence) -> None:
        self.released.append(sequence)
        super().release(sequence)


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def running(
    model: Model,
    backend: TestBackend,
    limits: Limits = Limits(2, 8),  # noqa: B008
    clock: Clock | None = None,
) -> AsyncIterator[Engine]:
    thread = ThreadPoolExecutor(1)
    metrics = Metrics("m", CollectorRegistry())
    engine = Engine(Loaded(backend, model, thread), limits, metrics, clock or Clock())
    loop = asyncio.create_task(engine.run())
    try:
        yield engine
    finally:
        backend.free()
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        await asyncio.to_thread(thread.shutdown)


def start(engine: Engine, job: GenerateJob | EncodeJob, deadline: float | None = None) -> Outbox:
    run, _ = engine.start(engine.admit(deadline), job)
    return run.outbox


def a_text(*ids: int, sampling: Sampling | None = None) -> GenerateJob:
    return GenerateJob(Tokens(ids), sampling or Sampling(20))


def a_list(*inputs: tuple[int, ...]) -> EncodeJob:
    return EncodeJob(Task.EMBED, tuple(Tokens(ids) for ids in inputs))


async def whole(outbox: Outbox) -> list[Event]:
    events: list[Event] = []
    while not events or not isinstance(events[-1], (Finish, Encoded)):
        events += await outbox.take()
    return events


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


async def test_texts_and_lists_come_back_whole(echo_model: Model) -> None:
    async with running(echo_model, TestBackend().free()) as engine:
        outboxes = [start(engine, a_text(*f"text {n}".encode())) for n in range(5)]
        listed = start(engine, a_list((1, 2), (3,), (4, 5, 6)))
        assert [text_of(await whole(outbox)) for outbox in outboxes] == [
            f"text {n}" for n in range(5)
        ]
        (encoded,) = await whole(listed)
        assert isinstance(encoded, Encoded)
        expected = EchoBackend().encode([Tokens((1, 2)), Tokens((3,)), Tokens((4, 5, 6))])
        assert [list(vector) for vector in encoded.vectors] == [list(row) for row in expected]
        assert (engine.waiting, engine.running) == (0, 0)
        await engine.idle()


async def test_what_waits_joins_at_the_next_step(echo_model: Model) -> None:
    backend = TestBackend()
    async with running(echo_model, backend) as engine:
        first = start(engine, a_text(1, 2, 3))
        await backend.begins()
        second = start(engine, a_text(9))
        backend.free()
        await whole(first)
        await whole(second)
    assert backend.batches[:2] == [[(1, 2, 3)], [(1, 2, 3), (9,)]]


async def test_a_long_list_does_not_hold_up_a_short_one(echo_model: Model) -> None:
    backend = TestBackend()
    async with running(echo_model, backend) as engine:
        long = start(engine, a_list((1,), (2,), (3,), (4,), (5,)))
        await backend.begins()
        short = start(engine, a_list((9,)))
        backend.free()
        await whole(short)
        await whole(long)
    assert [len(batch) for batch in backend.batches] == [2, 2, 2]
    assert (9,) in backend.batches[1]


async def test_inputs_of_like_length_share_a_batch(echo_model: Model) -> None:
    backend = TestBackend().free()
    async with running(echo_model, backend) as engine:
        await whole(start(engine, a_list((1,), (2,) * 9, (3,), (4,) * 8)))
    assert [sorted(map(len, batch)) for batch in backend.batches] == [[8, 9], [1, 1]]


@pytest.mark.parametrize(
    ("job", "error"),
    [
        (a_list((POISON,)), InternalError),
        (a_list((HUNGER,)), OutOfMemory),
        (a_text(HUNGER), OutOfMemory),
    ],
)
async def test_a_failure_answers_its_request_and_the_engine_goes_on(
    echo_model: Model, job: GenerateJob | EncodeJob, error: type[RequestError]
) -> None:
    async with running(echo_model, TestBackend().free()) as engine:
        outbox = start(engine, job)
        with pytest.raises(error) as caught:
            await whole(outbox)
        assert "secret" not in caught.value.message
        assert (engine.waiting, engine.running) == (0, 0)
        assert text_of(await whole(start(engine, a_text(*b"fine")))) == "fine"


async def test_one_text_fails_alone(echo_model: Model) -> None:
    backend = TestBackend()
    async with running(echo_model, backend) as engine:
        bad, good = start(engine, a_text(HUNGER)), start(engine, a_text(*b"fine"))
        backend.free()
        assert text_of(await whole(good)) == "fine"
        with pytest.raises(OutOfMemory):
            await whole(bad)


async def test_who_leaves_gets_no_further_step_and_its_state_goes(echo_model: Model) -> None:
    backend = TestBackend()
    async with running(echo_model, backend) as engine:
        ticket = engine.admit(None)
        engine.start(ticket, a_text(1, 2, 3))
        await backend.begins()
        engine.leave(ticket)
        assert engine.running == 0
        backend.free()
        assert text_of(await whole(start(engine, a_text(*b"next")))) == "next"
    assert sum((1, 2, 3) in batch for batch in backend.batches) <= 1
    assert backend.released[0].prompt.ids == (1, 2, 3)


async def test_deadlines_end_requests_wherever_they_are(echo_model: Model) -> None:
    backend, clock = TestBackend(), Clock()
    async with running(echo_model, backend, Limits(1, 8), clock) as engine:
        runs = start(engine, a_text(1, 2, 3), deadline=5.0)
        waits = start(engine, a_text(4), deadline=4.0)
        await backend.begins()
        clock.now = 6.0
        backend.free()
        for outbox in (runs, waits):
            with pytest.raises(DeadlineExceeded):
                await whole(outbox)
        with pytest.raises(DeadlineExceeded):
            engine.admit(deadline=6.0)
    assert backend.batches == [[(1, 2, 3)]]


async def test_a_place_lost_while_preparing_is_told(echo_model: Model) -> None:
    clock = Clock()
    async with running(echo_model, TestBackend().free(), clock=clock) as engine:
        late, cut = engine.admit(deadline=1.0), engine.admit(deadline=None)
        clock.now = 2.0
        engine.cut()
        with pytest.raises(DeadlineExceeded):
            engine.start(late, a_text(1))
        with pytest.raises(Draining):
            engine.start(cut, a_text(1))


async def test_a_full_queue_refuses(echo_model: Model) -> None:
    backend = TestBackend()
    async with running(echo_model, backend, Limits(1, 2)) as engine:
        start(engine, a_text(1))
        await backend.begins()
        start(engine, a_text(2))
        start(engine, a_text(3))
        with pytest.raises(QueueFull):
            engine.admit(None)


async def test_cutting_ends_texts_with_what_there_is_and_refuses_the_rest(
    echo_model: Model,
) -> None:
    backend = TestBackend()
    async with running(echo_model, backend, Limits(2, 8)) as engine:
        text, listed = start(engine, a_text(*b"abcdef")), start(engine, a_list((1,), (2,), (3,)))
        waiting = start(engine, a_text(9))
        backend.steps.release(2)
        await backend.begins(3)
        before = await text.take()
        engine.cut()
        events = [*before, *await whole(text)]
        assert "abcdef".startswith(text_of(events))
        assert isinstance(events[-1], Finish)
        assert events[-1].reason is FinishReason.DRAINED
        for outbox in (listed, waiting):
            with pytest.raises(Draining):
                await whole(outbox)
        await engine.idle()


async def test_a_lost_device_ends_the_loop(echo_model: Model) -> None:
    backend = TestBackend().free()
    thread = ThreadPoolExecutor(1)
    metrics = Metrics("m", CollectorRegistry())
    engine = Engine(Loaded(backend, echo_model, thread), Limits(2, 8), metrics, Clock())
    lost = start(engine, a_text(END_OF_WORLD))
    with pytest.raises(RuntimeError, match="the device is lost"):
        await engine.run()
    with pytest.raises(DeviceLost):
        await whole(lost)
    thread.shutdown()


async def test_times_and_counts_are_noted_where_they_happen(echo_model: Model) -> None:
    backend, clock, registry = TestBackend(), Clock(), CollectorRegistry()
    thread = ThreadPoolExecutor(1)
    engine = Engine(
        Loaded(backend, echo_model, thread), Limits(2, 8), Metrics("m", registry), clock
    )
    loop = asyncio.create_task(engine.run())
    outbox = start(engine, a_text(*b"ab"))
    await backend.begins()
    clock.now = 3.0
    backend.steps.release(1)
    first = await outbox.take()
    clock.now = 5.0
    backend.free()
    finish = (await whole(outbox))[-1]
    assert isinstance(finish, Finish)
    assert (finish.timing.queue, finish.timing.first, finish.timing.total) == (0, 3, 5)
    assert (finish.prompt_tokens, finish.output_tokens, finish.timing.batch_size) == (2, 3, 1)
    assert text_of(first) == "a"

    def sample(name: str) -> float | None:
        return registry.get_sample_value(name, {"model": "m"})

    assert sample("lepton_generated_tokens_total") == 3
    assert sample("lepton_time_to_first_token_seconds_sum") == 3
    assert sample("lepton_queue_duration_seconds_count") == 1
    assert sample("lepton_batch_size_count") == 3
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    thread.shutdown()
