"""Front and engine over a backend that needs no model: order, isolation, cancelling, times."""

import pytest
from prometheus_client import CollectorRegistry

from lepton_testing.engines import (
    HUNGER,
    NOBODY,
    POISON,
    Clock,
    GatedBackend,
    a_list,
    a_text,
    running,
    start,
    text_of,
    whole,
)
from lepton_worker.backends.base import EncodeInput
from lepton_worker.backends.echo import EchoBackend
from lepton_worker.errors import (
    ContextLengthExceeded,
    DeadlineExceeded,
    Draining,
    InternalError,
    OutOfMemory,
    QueueFull,
    RequestError,
)
from lepton_worker.model import Model
from lepton_worker.request import (
    Caller,
    Encoded,
    EncodeJob,
    Finish,
    FinishReason,
    GenerateJob,
    Sampling,
    Tokens,
)


async def test_texts_and_lists_come_back_whole(echo_model: Model) -> None:
    async with running(echo_model, GatedBackend().free(), waiting=20) as engine:
        streams = [start(engine, a_text(*f"text {n}".encode())) for n in range(5)]
        listed = start(engine, a_list((1, 2), (3,), (4, 5, 6)))
        assert [text_of(await whole(stream)) for stream in streams] == [
            f"text {n}" for n in range(5)
        ]
        (encoded,) = await whole(listed)
        assert isinstance(encoded, Encoded)
        inputs = [EncodeInput(Tokens(ids)) for ids in ((1, 2), (3,), (4, 5, 6))]
        assert str(encoded.vectors) == str(tuple(EchoBackend().encode(inputs)))
        for stream in [*streams, listed]:
            engine.leave(stream.ticket)
        assert (engine.waiting, engine.running) == (0, 0)
        await engine.idle()


async def test_what_waits_joins_at_the_next_step(echo_model: Model) -> None:
    backend = GatedBackend()
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
    backend = GatedBackend()
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
    async with running(echo_model, GatedBackend().free()) as engine:
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
    async with running(echo_model, GatedBackend().free()) as engine:
        (encoded,) = await whole(start(engine, a_list((1,), (HUNGER,), (3,))))
        assert isinstance(encoded, Encoded)
        kinds = [isinstance(vector, Exception) for vector in encoded.vectors]
        assert kinds == [False, True, False]


async def test_one_text_fails_alone(echo_model: Model) -> None:
    backend = GatedBackend()
    async with running(echo_model, backend) as engine:
        bad, good = start(engine, a_text(HUNGER)), start(engine, a_text(*b"fine"))
        backend.free()
        assert text_of(await whole(good)) == "fine"
        with pytest.raises(OutOfMemory):
            await whole(bad)


async def test_who_leaves_gets_no_further_step_and_its_state_goes(echo_model: Model) -> None:
    backend = GatedBackend()
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
    backend = GatedBackend()
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
    backend, clock = GatedBackend(), Clock()
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
    async with running(echo_model, GatedBackend().free(), clock=clock) as engine:
        late, cut = engine.admit(NOBODY, deadline=1.0), engine.admit(NOBODY, deadline=None)
        clock.now = 2.0
        engine.cut()
        with pytest.raises(DeadlineExceeded):
            engine.start(late, a_text(1))
        with pytest.raises(Draining):
            engine.start(cut, a_text(1))


async def test_a_full_queue_refuses(echo_model: Model) -> None:
    backend = GatedBackend()
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
    async with running(echo_model, GatedBackend().free(), cache_tokens=16) as engine:
        with pytest.raises(ContextLengthExceeded, match="16 tokens"):
            start(engine, a_text(1, 2, 3, sampling=Sampling(20)))
        fits = start(engine, a_text(*b"abc", sampling=Sampling(13, ends=frozenset([256]))))
        assert text_of(await whole(fits)) == "abc"


async def test_cutting_ends_texts_with_what_there_is_and_refuses_the_rest(
    echo_model: Model,
) -> None:
    backend = GatedBackend()
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


async def test_times_and_counts_are_noted_where_they_happen(echo_model: Model) -> None:
    backend, clock, registry = GatedBackend(), Clock(), CollectorRegistry()
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
