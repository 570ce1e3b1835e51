"""Front and engine over a backend that needs no model: order, isolation, cancelling, ending."""

import asyncio
import dataclasses
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from lepton_worker.backends.base import DecoderSequence, EncodeInput, Progress, Span
from lepton_worker.backends.echo import EchoBackend
from lepton_worker.engine.core import Core
from lepton_worker.engine.engine import Engine
from lepton_worker.engine.link import Port
from lepton_worker.engine.messages import Ready, Source, Stop, Submit, ToEngine
from lepton_worker.engine.streams import Stream
from lepton_worker.engine.thread_link import ThreadLink
from lepton_worker.errors import (
    ContextLengthExceeded,
    DeadlineExceeded,
    DeviceLost,
    Draining,
    EngineLost,
    InternalError,
    OutOfMemory,
    QueueFull,
    RequestError,
    SourceNotFound,
)
from lepton_worker.metrics import Metrics
from lepton_worker.model import Model
from lepton_worker.request import (
    Caller,
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

POISON, HUNGER, END_OF_WORLD = 66, 77, 88
NOBODY = Caller()


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

    def encode(self, inputs: Sequence[EncodeInput]) -> list[Vector | RequestError]:
        self._pass()
        self.batches.append([item.tokens.ids for item in inputs])
        if any(POISON in item.tokens.ids for item in inputs):
            raise ZeroDivisionError("secret")
        answers = super().encode(inputs)
        for index, item in enumerate(inputs):
            if HUNGER in item.tokens.ids:
                answers[index] = OutOfMemory("no memory")
        return answers

    def step(self, spans: Sequence[Span]) -> list[Progress | RequestError]:
        self._pass()
        self.batches.append([span.sequence.prompt.ids for span in spans])
        results = super().step(spans)
        for index, span in enumerate(spans):
            if HUNGER in span.sequence.prompt.ids:
                results[index] = OutOfMemory("no memory")
            if END_OF_WORLD in span.sequence.prompt.ids:
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
    waiting: int = 8,
    clock: Clock | None = None,
    registry: CollectorRegistry | None = None,
    **facts: int,
) -> AsyncIterator[Engine]:
    clock = clock or Clock()
    told = dataclasses.replace(model, **{"slots": 2, **facts})  # type: ignore[arg-type]

    def main(port: Port) -> None:
        port.send([Ready(told)])
        Core(backend, told, port, clock).run()

    metrics = Metrics("m", registry or CollectorRegistry())
    engine = Engine(ThreadLink(main), waiting, metrics, clock)
    await engine.load(lambda name, seconds: None)
    try:
        yield engine
    finally:
        backend.free()
        await engine.close()


def start(
    engine: Engine,
    job: GenerateJob | EncodeJob,
    deadline: float | None = None,
    caller: Caller = NOBODY,
) -> Stream:
    return engine.start(engine.admit(caller, deadline), job)


def a_text(*ids: int, sampling: Sampling | None = None) -> GenerateJob:
    ends = frozenset([256])
    return GenerateJob(Tokens(ids), sampling or Sampling(20, ends=ends))


def a_list(*inputs: tuple[int, ...]) -> EncodeJob:
    return EncodeJob(Task.EMBED, tuple(Tokens(ids) for ids in inputs))


async def whole(stream: Stream) -> list[Event]:
    events: list[Event] = []
    while not events or not isinstance(events[-1], (Finish, Encoded)):
        events += await stream.take()
    return events


def text_of(events: list[Event]) -> str:
    ids = [token for event in events if isinstance(event, Delta) for token in event.ids]
    return bytes(token for token in ids if token < 256).decode()


async def test_texts_and_lists_come_back_whole(echo_model: Model) -> None:
    async with running(echo_model, TestBackend().free(), waiting=20) as engine:
        streams = [start(engine, a_text(*f"text {n}".encode())) for n in range(5)]
        listed = start(engine, a_list((1, 2), (3,), (4, 5, 6)))
        assert [text_of(await whole(stream)) for stream in streams] == [
            f"text {n}" for n in range(5)
        ]
        (encoded,) = await whole(listed)
        assert isinstance(encoded, Encoded)
        inputs = [EncodeInput(Tokens(ids)) for ids in ((1, 2), (3,), (4, 5, 6))]
        expected = EchoBackend().encode(inputs)
        assert [list(vector) for vector in encoded.vectors] == [list(row) for row in expected]  # type: ignore[call-overload]
        for stream in [*streams, listed]:
            engine.leave(stream.ticket)
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
    assert backend.batches[0] == [(1, 2, 3)]
    assert sorted(backend.batches[1]) == [(1, 2, 3), (9,)]


async def test_a_long_list_does_not_hold_up_a_short_one(echo_model: Model) -> None:
    backend = TestBackend()
    async with running(echo_model, backend, step_tokens=2) as engine:
        long = start(engine, a_list((1,), (2,), (3,), (4,), (5,)))
        await backend.begins()
        short = start(engine, a_list((9,)))
        backend.free()
        await whole(short)
        await whole(long)
    assert [len(batch) for batch in backend.batches] == [2, 2, 2]
    assert (9,) in backend.batches[1]


@pytest.mark.parametrize(
    ("job", "error"),
    [
        (a_list((POISON,)), InternalError),
        (a_text(HUNGER), OutOfMemory),
    ],
)
async def test_a_failure_answers_its_request_and_the_engine_goes_on(
    echo_model: Model, job: GenerateJob | EncodeJob, error: type[RequestError]
) -> None:
    async with running(echo_model, TestBackend().free()) as engine:
        # POISON shares no step with the texts behind it.
        stream = start(engine, job)
        if isinstance(job, EncodeJob):
            (encoded,) = await whole(stream)
            assert isinstance(encoded, Encoded)
            (failure,) = encoded.vectors
            assert isinstance(failure, error)
            assert "secret" not in failure.message
        else:
            with pytest.raises(error):
                await whole(stream)
        engine.leave(stream.ticket)
        assert (engine.waiting, engine.running) == (0, 0)
        assert text_of(await whole(start(engine, a_text(*b"fine")))) == "fine"


async def test_one_input_of_a_list_fails_alone(echo_model: Model) -> None:
    async with running(echo_model, TestBackend().free()) as engine:
        (encoded,) = await whole(start(engine, a_list((1,), (HUNGER,), (3,))))
        assert isinstance(encoded, Encoded)
        kinds = [isinstance(vector, Exception) for vector in encoded.vectors]
        assert kinds == [False, True, False]


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
        stream = start(engine, a_text(1, 2, 3))
        await backend.begins()
        engine.leave(stream.ticket)
        assert engine.running == 0
        backend.free()
        assert text_of(await whole(start(engine, a_text(*b"next")))) == "next"
    assert sum((1, 2, 3) in batch for batch in backend.batches) <= 1
    assert backend.released[0].prompt.ids == (1, 2, 3)


async def test_a_better_priority_takes_the_seat_and_the_text_goes_on_later(
    echo_model: Model,
) -> None:
    backend = TestBackend()
    async with running(echo_model, backend, slots=1) as engine:
        slow = start(engine, a_text(*b"abcdef"), caller=Caller("batch", 10))
        await backend.begins()
        fast = start(engine, a_text(*b"now"), caller=Caller("user", 0))
        backend.free()
        assert text_of(await whole(fast)) == "now"
        assert text_of(await whole(slow)) == "abcdef"
        assert engine.report.evicted == 1
    first, then = [tuple(b"abcdef")], [tuple(b"now")]
    assert backend.batches == [first, *[then] * 4, *[first] * 6]


async def test_deadlines_end_requests_wherever_they_are(echo_model: Model) -> None:
    backend, clock = TestBackend(), Clock()
    async with running(echo_model, backend, clock=clock, slots=1) as engine:
        runs = start(engine, a_text(1, 2, 3), deadline=4.0)
        waits = start(engine, a_text(4), deadline=5.0)
        await backend.begins()
        clock.now = 6.0
        backend.free()
        for stream in (runs, waits):
            with pytest.raises(DeadlineExceeded):
                await whole(stream)
        with pytest.raises(DeadlineExceeded):
            engine.admit(NOBODY, deadline=6.0)
    assert backend.batches == [[(1, 2, 3)]]


async def test_a_place_lost_while_preparing_is_told(echo_model: Model) -> None:
    clock = Clock()
    async with running(echo_model, TestBackend().free(), clock=clock) as engine:
        late, cut = engine.admit(NOBODY, deadline=1.0), engine.admit(NOBODY, deadline=None)
        clock.now = 2.0
        engine.cut()
        with pytest.raises(DeadlineExceeded):
            engine.start(late, a_text(1))
        with pytest.raises(Draining):
            engine.start(cut, a_text(1))


async def test_a_full_queue_refuses(echo_model: Model) -> None:
    backend = TestBackend()
    async with running(echo_model, backend, waiting=2, slots=1) as engine:
        first = start(engine, a_text(1))
        await backend.begins()
        backend.steps.release()
        await first.take()
        start(engine, a_text(2))
        start(engine, a_text(3))
        with pytest.raises(QueueFull):
            engine.admit(NOBODY, None)


async def test_what_could_never_fit_into_memory_is_refused_at_once(echo_model: Model) -> None:
    async with running(echo_model, TestBackend().free(), cache_tokens=16) as engine:
        with pytest.raises(ContextLengthExceeded, match="16 tokens"):
            start(engine, a_text(1, 2, 3, sampling=Sampling(20)))
        fits = start(engine, a_text(*b"abc", sampling=Sampling(13, ends=frozenset([256]))))
        assert text_of(await whole(fits)) == "abc"


async def test_cutting_ends_texts_with_what_there_is_and_refuses_the_rest(
    echo_model: Model,
) -> None:
    backend = TestBackend()
    async with running(echo_model, backend, slots=1) as engine:
        text, waiting = start(engine, a_text(*b"abcdef")), start(engine, a_text(9))
        backend.steps.release(2)
        await backend.begins(3)
        before = await text.take()
        engine.cut()
        events = [*before, *await whole(text)]
        assert "abcdef".startswith(text_of(events))
        assert isinstance(events[-1], Finish)
        assert events[-1].reason is FinishReason.DRAINED
        with pytest.raises(Draining):
            await whole(waiting)
        await engine.idle()


async def test_a_lost_device_fails_what_is_in_hand_and_ends_the_engine(
    echo_model: Model,
) -> None:
    async with running(echo_model, TestBackend().free()) as engine:
        stream = start(engine, a_text(END_OF_WORLD))
        with pytest.raises(DeviceLost):
            await whole(stream)
        assert engine.lost is not None
        assert "RuntimeError" in await engine.lost


async def test_a_new_engine_gets_what_the_lost_one_had_not_answered(echo_model: Model) -> None:
    """One text has begun, one has not, when the engine ends; then it ends again and again."""
    ports: list[Port] = []
    backend = TestBackend().free()

    def main(port: Port) -> None:
        ports.append(port)
        port.send([Ready(dataclasses.replace(echo_model, slots=1))])
        if len(ports) < 3:
            core = Core(backend, dataclasses.replace(echo_model, slots=1), port)
            core.take(wait=True)
            core.step()
            core._tell()
            raise SystemError("broken")
        Core(backend, dataclasses.replace(echo_model, slots=1), port).run()

    engine = Engine(ThreadLink(main), 8, Metrics("m", CollectorRegistry()))
    await engine.load(lambda name, seconds: None)
    begun, waiting = start(engine, a_text(*b"abc")), start(engine, a_text(*b"xyz"))
    assert engine.lost is not None
    assert "SystemError" in await engine.lost
    with pytest.raises(EngineLost, match="after it had begun"):
        await whole(begun)
    await engine.load(lambda name, seconds: None)
    assert "SystemError" in await engine.lost
    await engine.load(lambda name, seconds: None)
    with pytest.raises(EngineLost):
        await whole(waiting)
    assert text_of(await whole(start(engine, a_text(*b"fine")))) == "fine"
    await engine.close()


async def test_an_engine_starts_before_its_files_are_there(echo_model: Model) -> None:
    started, told = threading.Event(), threading.Event()
    folders: list[Path] = []

    def main(port: Port) -> None:
        started.set()
        messages = port.take(wait=True)
        folders.extend(message.folder for message in messages if isinstance(message, Source))
        told.set()
        port.send([Ready(echo_model)])
        Core(TestBackend().free(), echo_model, port).run()

    engine = Engine(ThreadLink(main), 8, Metrics("m", CollectorRegistry()))
    source = asyncio.get_running_loop().create_future()
    loading = asyncio.create_task(engine.load(lambda name, seconds: None, source))
    assert await asyncio.to_thread(started.wait, 10)
    assert not told.is_set()
    source.set_result(Path("somewhere"))
    await loading
    assert folders == [Path("somewhere")]
    await engine.close()


async def test_files_that_cannot_be_had_end_the_start(echo_model: Model) -> None:
    def main(port: Port) -> None:
        assert port.take(wait=True) == [Stop()]

    engine = Engine(ThreadLink(main), 8, Metrics("m", CollectorRegistry()))
    source = asyncio.get_running_loop().create_future()
    source.set_exception(SourceNotFound("it is not there"))
    with pytest.raises(SourceNotFound):
        await engine.load(lambda name, seconds: None, source)
    await engine.close()


async def test_what_comes_while_an_engine_loads_is_sent_to_it_once(echo_model: Model) -> None:
    sent: list[object] = []

    class Noting(ThreadLink):
        def send(self, message: ToEngine) -> None:
            sent.append(message)
            super().send(message)

    loads = threading.Semaphore(1)

    def main(port: Port) -> None:
        loads.acquire()
        port.send([Ready(echo_model)])
        Core(TestBackend().free(), echo_model, port).run()

    engine = Engine(Noting(main), 8, Metrics("m", CollectorRegistry()))
    await engine.load(lambda name, seconds: None)
    engine._gone("it was killed")
    again = asyncio.create_task(engine.load(lambda name, seconds: None))
    await asyncio.sleep(0)
    stream = start(engine, a_text(*b"once"))
    assert sent == []
    loads.release()
    await again
    assert text_of(await whole(stream)) == "once"
    assert [message.number for message in sent if isinstance(message, Submit)] == [stream.number]
    await engine.close()


async def test_times_and_counts_are_noted_where_they_happen(echo_model: Model) -> None:
    backend, clock, registry = TestBackend(), Clock(), CollectorRegistry()
    async with running(echo_model, backend, clock=clock, registry=registry) as engine:
        stream = start(engine, a_text(*b"ab"))
        await backend.begins()
        clock.now = 3.0
        backend.steps.release(1)
        first = await stream.take()
        clock.now = 5.0
        backend.free()
        finish = (await whole(stream))[-1]
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
        assert sample("lepton_prefill_tokens_total") == 2
