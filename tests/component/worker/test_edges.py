"""At the edges of a batch: slots, steps and memory exactly full, and one more of each."""

from pathlib import Path
from typing import Any

import grpc
import pytest

from lepton.v1 import generation_pb2
from lepton_testing.driven import Driven, leftovers
from lepton_testing.families import greedy, opened, stock
from lepton_testing.ground import ask, ids
from lepton_testing.hosted import Host
from lepton_worker.backends.native import backend as native
from lepton_worker.errors import ContextLengthExceeded

pytestmark = pytest.mark.component

NEW = 6
CACHE = 64


def prompt(length: int) -> list[int]:
    return [3 + (7 * place * place + length) % 580 for place in range(length)]


@pytest.fixture(scope="module")
def model(samples: Path) -> tuple[Any, Any]:
    return opened(samples / "llama", slots=4)


@pytest.fixture(scope="module")
def small(samples: Path) -> tuple[Any, Any]:
    """One with memory for so many tokens."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "cache_tokens", lambda *given: CACHE)
        found = opened(samples / "llama", slots=4)
    assert found[1].cache_tokens == CACHE
    return found


@pytest.fixture(scope="module")
def module(samples: Path) -> Any:
    found = stock(samples / "llama")
    found.generation_config.eos_token_id = None
    return found


@pytest.mark.parametrize("count", [3, 4, 5, 8, 9])
def test_slots(model: tuple[Any, Any], module: Any, count: int) -> None:
    driven = Driven(*model)
    texts = [prompt(length) for length in range(2, 2 + count)]
    numbers = [driven.text(text, NEW) for text in texts]
    driven.finish()
    assert [driven.ids[number] for number in numbers] == [
        greedy(module, text, NEW) for text in texts
    ]
    assert max(report.batch_size for report in driven.reports) == min(count, 4)
    assert driven.evicted == 0
    assert leftovers(driven.core, model[0]) == {}


def test_a_tenant_that_asks_for_more_than_there_are_slots_makes_way(
    model: tuple[Any, Any], module: Any
) -> None:
    """With a factor of 1, one of its texts at most has a turn in a step of the other's."""
    driven = Driven(*model, neighbour_factor=1)
    texts = [prompt(length) for length in (20, 3, 30, 5, 41, 6, 7, 33)]
    numbers = [driven.text(text, 3 * NEW, tenant="busy") for text in texts[:6]]
    driven.step(8)
    numbers += [driven.text(text, NEW, tenant="quiet") for text in texts[6:]]
    driven.finish()
    assert [driven.ids[number] for number in numbers] == [
        greedy(module, text, 3 * NEW if place < 6 else NEW) for place, text in enumerate(texts)
    ]
    assert driven.evicted == 2
    assert leftovers(driven.core, model[0]) == {}


@pytest.mark.parametrize("step", [2, 16, 17, 33])
def test_steps(model: tuple[Any, Any], module: Any, step: int) -> None:
    driven = Driven(*model, step_tokens=step)
    texts = [prompt(max(1, step + more)) for more in (-1, 0, 1, step)]
    numbers = [driven.text(text, NEW) for text in texts]
    driven.finish()
    assert [driven.ids[number] for number in numbers] == [
        greedy(module, text, NEW) for text in texts
    ]
    assert 0 < max(report.prefill_tokens for report in driven.reports) <= step
    whole = sum(report.prefill_tokens for report in driven.reports)
    cached = sum(driven.ended[number].cached_tokens for number in numbers)
    assert whole + cached >= sum(map(len, texts)) - len(texts)


def test_memory_exactly_full(small: tuple[Any, Any], module: Any) -> None:
    driven = Driven(*small)
    fits, too_long = prompt(CACHE - NEW), prompt(CACHE - NEW + 1)
    others = [prompt(length) for length in (10, 26, 10, 20)]
    first = [driven.text(text, NEW) for text in (fits, *others)]
    refused = driven.text(too_long, NEW)
    driven.step()
    assert isinstance(driven.failed[refused], ContextLengthExceeded)
    driven.finish()
    assert list(driven.failed) == [refused]
    for number, text in zip(first, (fits, *others), strict=True):
        assert driven.ids[number] == greedy(module, text, NEW)
    assert max(report.cache_used for report in driven.reports) <= CACHE
    assert leftovers(driven.core, small[0]) == {}


def test_two_that_fill_the_memory_together_run_together(
    small: tuple[Any, Any], module: Any
) -> None:
    half, more = prompt(CACHE // 2 - NEW), prompt(CACHE // 2 - NEW + 1)
    for texts, together in ([half, half[::-1]], 2), ([half, more], 1):
        driven = Driven(*small)
        numbers = [driven.text(text, NEW) for text in texts]
        driven.finish()
        assert max(report.batch_size for report in driven.reports) == together
        assert [driven.ids[number] for number in numbers] == [
            greedy(module, text, NEW) for text in texts
        ]


def test_what_could_never_fit_is_refused_at_once_over_grpc(
    host: Host, small: tuple[Any, Any], module: Any
) -> None:
    with host.lent(*small) as (served, core):
        others = [ask(served, prompt(length)) for length in (10, 30)]
        with pytest.raises(grpc.RpcError) as caught:
            list(ask(served, prompt(CACHE), 1))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert str(CACHE) in str(caught.value.details())
        for length, stream in zip((10, 30), others, strict=True):
            assert ids(stream) == greedy(module, prompt(length), 10)
        assert ids(ask(served, prompt(CACHE - 1), 1)) == greedy(module, prompt(CACHE - 1), 1)
    assert leftovers(core, small[0]) == {}


def test_the_models_last_position_is_used(model: tuple[Any, Any], module: Any, host: Host) -> None:
    longest = model[1].max_length
    with host.lent(*model) as (served, _):
        text = prompt(longest - NEW)
        request = generation_pb2.GenerateRequest(
            tokens=generation_pb2.TokenIds(ids=text),
            sampling=generation_pb2.Sampling(ignore_eos=True),
        )
        events = list(served.generation.Generate(request, timeout=60))
        assert ids(events) == greedy(module, text, NEW)
        assert events[-1].finish.reason == generation_pb2.FINISH_REASON_LENGTH
        with pytest.raises(grpc.RpcError) as caught:
            list(ask(served, text, NEW + 1))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
