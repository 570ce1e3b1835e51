"""What fails, fails alone: the worker goes on, the others get what they would have got, and nothing
of the failed request stays behind."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch

from lepton.v1 import generation_pb2, text_pb2
from lepton_testing.families import greedy, stock
from lepton_testing.ground import GUILTY, NEW, Ground, ask, ground, ids, prompts
from lepton_testing.hosted import Host, Served
from lepton_worker.request import Task

pytestmark = pytest.mark.component

Code = grpc.StatusCode


@pytest.fixture(scope="module")
def decoder(host: Host, samples: Path) -> Iterator[Ground]:
    with ground(host, samples / "llama") as found:
        yield found


@pytest.fixture(scope="module")
def encoder(host: Host, samples: Path) -> Iterator[Ground]:
    with ground(host, samples / "bert-encoder", Task.EMBED) as found:
        yield found


def embeddings(backend: Any) -> Any:
    """The first module of the model."""
    holder = backend._decoder._forward if backend._decoder else backend._encoder
    return holder._module.get_input_embeddings()


def raising(error: Exception) -> Callable[[Any, Any, Any], None]:
    """A hook that fails for rows with the guilty token."""

    def hook(module: Any, arguments: Any, output: Any) -> None:
        if bool((arguments[0] == GUILTY).any()):
            raise error

    return hook


def not_finite(module: Any, arguments: Any, output: torch.Tensor) -> torch.Tensor:
    """A hook that makes the guilty token's state no numbers."""
    return output.masked_fill((arguments[0] == GUILTY)[..., None], float("nan"))


FAILURES: dict[str, tuple[Any, grpc.StatusCode]] = {
    "out of memory": (raising(torch.OutOfMemoryError("none left")), Code.RESOURCE_EXHAUSTED),
    "no memory": (
        raising(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: ...")),
        Code.RESOURCE_EXHAUSTED,
    ),
    "a failed call": (raising(RuntimeError("shapes cannot be multiplied")), Code.INTERNAL),
    "a bug": (raising(ZeroDivisionError("division by zero")), Code.INTERNAL),
    "not finite": (not_finite, Code.INTERNAL),
}


@pytest.fixture(params=FAILURES)
def failure(request: pytest.FixtureRequest) -> tuple[Any, grpc.StatusCode]:
    return FAILURES[request.param]


def expected(ground: Ground, prompt: list[int]) -> list[int]:
    module = stock(ground.folder)
    module.generation_config.eos_token_id = None
    return greedy(module, prompt, NEW)


@pytest.mark.parametrize("place", [0, 5, 11])
def test_a_text_fails_alone(
    decoder: Ground, failure: tuple[Any, grpc.StatusCode], place: int
) -> None:
    hook, code = failure
    innocent = prompts()
    wanted = [expected(decoder, prompt) for prompt in innocent]
    assert all(GUILTY not in made for made in wanted)
    guilty = list(innocent[5])
    guilty[place] = GUILTY
    handle = embeddings(decoder.backend).register_forward_hook(hook)
    try:
        streams = [ask(decoder.served, prompt) for prompt in (*innocent[:3], guilty, *innocent[3:])]
        bad = streams.pop(3)
        assert [ids(stream) for stream in streams] == wanted
        with pytest.raises(grpc.RpcError) as caught:
            list(bad)
        assert caught.value.code() is code
        assert "Error" not in str(caught.value.details())  # nothing of the inside
        decoder.check_empty()
    finally:
        handle.remove()
    # Nothing wrong was kept of its beginning either.
    assert ids(ask(decoder.served, guilty)) == expected(decoder, guilty)


def test_a_text_that_has_begun_fails_alone(
    decoder: Ground, failure: tuple[Any, grpc.StatusCode]
) -> None:
    hook, code = failure
    innocent = prompts()
    wanted = [expected(decoder, prompt) for prompt in innocent]
    handle = embeddings(decoder.backend).register_forward_hook(hook)
    try:
        # The bias makes it write the guilty token, once its first ones are there.
        bad = ask(decoder.served, innocent[0], logit_bias={GUILTY: 100})
        streams = [ask(decoder.served, prompt) for prompt in innocent]
        assert [ids(stream) for stream in streams] == wanted
        events: list[Any] = []
        with pytest.raises(grpc.RpcError) as caught:
            events.extend(bad)  # what came before the error is kept
        assert caught.value.code() is code
        assert ids(events) == [GUILTY]
        decoder.check_empty()
    finally:
        handle.remove()


def vector(served: Served, text: str) -> Any:
    request = text_pb2.EmbedRequest(inputs=[text])
    return np.frombuffer(served.text.Embed(request, timeout=60).results[0].values, "<f4")


def test_an_input_of_a_list_fails_alone(
    encoder: Ground, failure: tuple[Any, grpc.StatusCode]
) -> None:
    hook, code = failure
    word = encoder.served.worker.model.tokenizer.decode([GUILTY])  # type: ignore[union-attr]
    texts = [f"the {'a ' * place}b" for place in range(20)]
    assert not any(GUILTY in each.tokens.ids for each in tokenized(encoder, texts))
    assert GUILTY in tokenized(encoder, [f"the {word}"])[0].tokens.ids
    wanted = [vector(encoder.served, text) for text in texts]
    asked = [*texts[:7], f"the {word}", *texts[7:]]
    handle = embeddings(encoder.backend).register_forward_hook(hook)
    try:
        request = text_pb2.EmbedRequest(inputs=asked)
        results = list(encoder.served.text.Embed(request, timeout=60).results)
    finally:
        handle.remove()
    bad = results.pop(7)
    assert bad.error.code == code.value[0]
    assert not bad.values
    for result, values in zip(results, wanted, strict=True):
        assert np.abs(np.frombuffer(result.values, "<f4") - values).max() < 1e-5
    encoder.check_empty()


def tokenized(ground: Ground, texts: list[str]) -> Any:
    return ground.served.worker.model.tokenizer.encode(texts, None)  # type: ignore[union-attr]


ODD = {
    "emoji": "🧑🏽‍🚀👩‍👩‍👧‍👦🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "scripts": "Ωmega日本語Жизнь العربية עברית देवनागरी ไทย한국어",
    "combining": "e\u0301\u0301\u0301a\u0308\u0323",
    "controls": "\x00\x01\x1f\x7f\u200b\u2028\ufeff",
    "spaces": " \t\n\r ",
    "private": "\ue000\U000f0000\U0010ffff",
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_odd_texts_are_texts(decoder: Ground, encoder: Ground, text: str) -> None:
    request = generation_pb2.GenerateRequest(
        text=text, sampling=generation_pb2.Sampling(max_new_tokens=4, ignore_eos=True)
    )
    assert len(ids(decoder.served.generation.Generate(request, timeout=60))) == 4
    assert np.isfinite(vector(encoder.served, text)).all()
    decoder.check_empty()


def code_of(work: Callable[[], Any]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        work()
    code: grpc.StatusCode = caught.value.code()
    return code


def test_a_megabyte_of_text_is_refused_and_an_empty_one_too(
    decoder: Ground, encoder: Ground
) -> None:
    for text in ("word " * 200_000, "x" * 1_000_000, "🦊" * 250_000, ""):
        request = generation_pb2.GenerateRequest(text=text)
        generate = decoder.served.generation.Generate
        assert code_of(lambda: list(generate(request, timeout=60))) is Code.INVALID_ARGUMENT  # noqa: B023
    texts = ["fine", "word " * 200_000, "x" * 1_000_000]
    results = encoder.served.text.Embed(text_pb2.EmbedRequest(inputs=texts), timeout=60).results
    assert [bool(result.values) for result in results][:2] == [True, False]
    decoder.check_empty()
    encoder.check_empty()


@pytest.mark.parametrize("token", [-1, 600, 2**31 - 1])
def test_tokens_that_are_none_are_refused(decoder: Ground, token: int) -> None:
    assert code_of(lambda: list(ask(decoder.served, [5, token]))) is Code.INVALID_ARGUMENT
    decoder.check_empty()


def test_the_largest_list_is_answered(encoder: Ground) -> None:
    texts = [f"{number}" for number in range(4096)]
    results = encoder.served.text.Embed(text_pb2.EmbedRequest(inputs=texts), timeout=120).results
    assert len(results) == 4096
    for place in (0, 2000, 4095):
        found = np.frombuffer(results[place].values, "<f4")
        assert np.abs(found - vector(encoder.served, texts[place])).max() < 1e-5
    request = text_pb2.EmbedRequest(inputs=[*texts, "one more"])
    assert code_of(lambda: encoder.served.text.Embed(request)) is Code.INVALID_ARGUMENT
    encoder.check_empty()
