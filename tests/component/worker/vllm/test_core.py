"""Our scheduler around vLLM's: what is ours to decide stays ours, and the figures are true."""

import pytest

from lepton_testing.driven import Driven, leftovers
from lepton_testing.vllm_models import finish, made, sequence
from lepton_worker.backends.vllm.backend import VllmBackend
from lepton_worker.errors import ContextLengthExceeded, DeadlineExceeded
from lepton_worker.model import Model
from lepton_worker.request import FinishReason, GenerateJob, Sampling, Tokens

pytestmark = pytest.mark.component

Engine = tuple[VllmBackend, Model]


def prompt(length: int) -> list[int]:
    return [3 + (7 * place * place + length) % 580 for place in range(length)]


def alone(engine: Engine, length: int, new: int) -> list[int]:
    text = sequence(prompt(length), new)
    finish(engine[0], [text])
    return made(text)


def check_empty(driven: Driven, engine: Engine) -> None:
    assert leftovers(driven.core, engine[0]) == {}
    assert not engine[0]._texts
    assert not engine[0]._engine.has_unfinished_requests()


def test_more_texts_than_seats(engine: Engine) -> None:
    driven = Driven(*engine)
    numbers = {driven.text(prompt(length), 9): length for length in range(5, 12)}
    driven.finish()
    for number, length in numbers.items():
        assert driven.ids[number] == alone(engine, length, 9)
        assert driven.ended[number].reason is FinishReason.LENGTH
    assert max(report.running for report in driven.reports) == 2
    # The first of each text's tokens comes with its prompt.
    assert sum(report.prefill_tokens for report in driven.reports) == sum(numbers.values())
    assert sum(report.decode_tokens for report in driven.reports) == 8 * len(numbers)
    assert driven.reports[-1].cache_used == 0
    check_empty(driven, engine)


def test_a_better_class_is_answered_first_and_costs_nobody_a_token(engine: Engine) -> None:
    driven = Driven(*engine)
    slow = [driven.text(prompt(length), 60, priority=5) for length in (20, 21)]
    driven.step(10)
    assert all(driven.ids[number] for number in slow)
    urgent = driven.text(prompt(22), 5, priority=0)
    while urgent in driven.open:
        driven.step()
    assert set(slow) == driven.open
    assert driven.evicted == 1
    driven.finish()
    assert driven.ids[urgent] == alone(engine, 22, 5)
    assert [driven.ids[number] for number in slow] == [
        alone(engine, length, 60) for length in (20, 21)
    ]
    check_empty(driven, engine)


def test_who_is_cancelled_or_late_leaves_vllm(engine: Engine) -> None:
    driven = Driven(*engine)
    gone = driven.text(prompt(30), 150)
    job = GenerateJob(Tokens(tuple(prompt(31))), Sampling(150))
    late = driven.submit(job, deadline=0.0)
    stays = driven.text(prompt(32), 6)
    driven.step(4)
    assert driven.ids[gone]
    driven.cancel(gone)
    driven.finish()
    assert isinstance(driven.failed[late], DeadlineExceeded)
    assert driven.ids[stays] == alone(engine, 32, 6)
    check_empty(driven, engine)


def test_only_what_the_cache_can_hold_is_handed_over(engine: Engine) -> None:
    """Both would fit by their prompts; by what they can grow to, one has to wait."""
    driven = Driven(*engine, cache_tokens=100)
    numbers = [driven.text(prompt(length), 40) for length in (20, 21)]
    refused = driven.text(prompt(60), 41)
    driven.finish()
    assert isinstance(driven.failed[refused], ContextLengthExceeded)
    assert max(report.running for report in driven.reports) == 1
    assert [len(driven.ids[number]) for number in numbers] == [40, 40]
    check_empty(driven, engine)


def test_cached_tokens_are_told_at_the_end(engine: Engine) -> None:
    driven = Driven(*engine)
    ids = [7 + (11 * place) % 400 for place in range(190)]
    first = driven.text(ids, 3)
    driven.finish()
    second = driven.text(ids, 3)
    driven.finish()
    assert driven.ended[first].cached_tokens == 0
    assert driven.ended[second].cached_tokens >= 64
