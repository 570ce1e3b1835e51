"""A text from vLLM is what transformers makes of it, and keeps what our protocol promises."""

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lepton_testing.vllm_models import LONGEST, finish, made, sequence
from lepton_worker.backends.base import Span
from lepton_worker.backends.vllm.backend import VllmBackend
from lepton_worker.errors import DeviceLost, InternalError, InvalidRequest
from lepton_worker.model import Model
from lepton_worker.request import Beams, Constraint
from lepton_worker.samples.sentences import SENTENCES

pytestmark = pytest.mark.component

Engine = tuple[VllmBackend, Model]


@functools.cache
def loaded(folder: Path) -> tuple[Any, Any]:
    return AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)


def prompt(folders: dict[str, Path], number: int) -> list[int]:
    tokenizer, _ = loaded(folders["llama"])
    return list(tokenizer(SENTENCES[number]).input_ids)


def expected(folder: Path, ids: list[int], new: int, **chosen: Any) -> list[int]:
    with torch.inference_mode():
        whole = loaded(folder)[1].generate(
            torch.tensor([ids]), max_new_tokens=new, do_sample=False, **chosen
        )
    return list(whole[0, len(ids) :].tolist())


def test_what_is_said_of_the_model(engine: Engine) -> None:
    _, model = engine
    assert (model.backend, model.device, model.dtype) == ("vllm", "cpu", "float32")
    assert model.architecture == "LlamaForCausalLM"
    assert model.max_length == LONGEST
    assert model.schedules
    assert model.cache_tokens >= LONGEST
    assert model.choices["backend"].startswith("vllm ")
    assert model.defaults.ends == {0}


def test_greedy_texts_side_by_side_equal_transformers(
    engine: Engine, folders: dict[str, Path]
) -> None:
    prompts = [prompt(folders, number) for number in range(5)]
    texts = [sequence(ids, 8 + 5 * number) for number, ids in enumerate(prompts)]
    finish(engine[0], texts)
    for number, (ids, text) in enumerate(zip(prompts, texts, strict=True)):
        ends = {"eos_token_id": None}
        assert made(text) == expected(folders["llama"], ids, 8 + 5 * number, **ends)


def test_a_text_ends_at_its_end_token_and_not_before_its_least_length(
    engine: Engine, folders: dict[str, Path]
) -> None:
    ids = prompt(folders, 1)
    free = expected(folders["llama"], ids, 12, eos_token_id=None)
    place = next(n for n in range(3, 12) if free[n] not in free[:n])
    stopped = sequence(ids, 12, ends=frozenset([free[place]]))
    [told] = finish(engine[0], [stopped])
    assert made(stopped) == free[: place + 1]
    assert told[-1].ended
    long = sequence(ids, 12, ends=frozenset([free[place]]), min_new_tokens=12)
    finish(engine[0], [long])
    assert len(made(long)) == 12
    assert free[place] not in made(long)[:11]


def test_a_seed_decides_and_without_one_texts_differ(
    engine: Engine, folders: dict[str, Path]
) -> None:
    ids = prompt(folders, 2)
    drawn = [sequence(ids, 12, temperature=1.0, seed=seed) for seed in (7, 7, 8)]
    free = [sequence(ids, 12, temperature=1.0) for _ in range(2)]
    finish(engine[0], [*drawn, *free])
    one, again, other = map(made, drawn)
    assert one == again != other
    assert made(free[0]) != made(free[1])


def test_log_probabilities_are_those_of_the_model(engine: Engine, folders: dict[str, Path]) -> None:
    ids = prompt(folders, 3)
    text = sequence(ids, 6, logprobs=3, prompt_logprobs=True, temperature=0.7, seed=1)
    [told] = finish(engine[0], [text])
    with torch.inference_mode():
        rated = loaded(folders["llama"])[1](torch.tensor([text.ids])).logits[0].log_softmax(-1)
    reported = [*told[0].prompt, *(progress.logprob for progress in told)]
    assert len(reported) == len(text.ids) - 1
    for place, item in enumerate(reported):
        assert item is not None
        assert item.token == text.ids[place + 1]
        assert item.logprob == pytest.approx(float(rated[place, item.token]), abs=1e-4)
        values, tokens = rated[place].topk(3)
        assert [token for token, _ in item.top] == tokens.tolist()
        assert [value for _, value in item.top] == pytest.approx(values.tolist(), abs=1e-4)


def test_a_prompt_can_be_read_and_not_continued(engine: Engine, folders: dict[str, Path]) -> None:
    text = sequence(prompt(folders, 4), 0, prompt_logprobs=True)
    [[only]] = finish(engine[0], [text])
    assert only.token is None
    assert [item.token for item in only.prompt] == list(text.prompt.ids[1:])
    assert not made(text)


def test_penalties_and_biases(engine: Engine, folders: dict[str, Path]) -> None:
    ids = prompt(folders, 5)
    penalized = sequence(ids, 20, repetition_penalty=1.4)
    forced = sequence(ids, 4, bias=((9, 100.0),))
    finish(engine[0], [penalized, forced])
    wanted = expected(folders["llama"], ids, 20, repetition_penalty=1.4, eos_token_id=None)
    assert made(penalized) == wanted
    assert made(forced) == [9] * 4


@pytest.mark.parametrize(
    ("constraint", "answers"),
    [
        (Constraint("choices", ("Yes", "No")), {"Yes", "No"}),
        (Constraint("regex", (r"\d[ab]",)), {f"{n}{letter}" for n in range(10) for letter in "ab"}),
        (Constraint("grammar", ('start: "x" ("y" | "z")',)), {"xy", "xz"}),
        (Constraint("json_schema", ('{"enum": ["left", "right"]}',)), {'"left"', '"right"'}),
    ],
)  # fmt: skip
def test_constraints(
    engine: Engine, folders: dict[str, Path], constraint: Constraint, answers: set[str]
) -> None:
    backend, model = engine
    ids = prompt(folders, 6)
    ends = model.defaults.ends
    texts = [
        sequence(ids, 30, constraint=constraint, ends=ends, temperature=1.0, seed=seed)
        for seed in range(3)
    ]
    told = finish(backend, [*texts, sequence(ids, 30, constraint=constraint)])
    for text, progress in zip(texts, told, strict=False):
        assert model.tokenizer.decode(made(text)) in answers
        assert progress[-1].ended


def test_what_vllm_refuses_is_told_and_harms_nothing(
    engine: Engine, folders: dict[str, Path]
) -> None:
    backend, _ = engine
    ids = prompt(folders, 7)
    schema = '{"type": "object", "patternProperties": {"(?=a)b": {"type": "integer"}}}'
    refused: list[dict[str, Any]] = [
        {"constraint": Constraint("json_schema", (schema,))},
        {"constraint": Constraint("grammar", ("start: nothing",))},
        {"beams": Beams(count=3)},
    ]
    for asked in refused:
        with pytest.raises(InvalidRequest):
            finish(backend, [sequence(ids, 5, **asked)])
    [outcome] = backend.step([Span(sequence(ids, 5), 1)])
    assert isinstance(outcome, InternalError)
    good = sequence(ids, 5)
    finish(backend, [good])
    assert made(good) == expected(folders["llama"], ids, 5, eos_token_id=None)


def test_a_text_put_aside_goes_on_where_it_was(engine: Engine, folders: dict[str, Path]) -> None:
    backend, _ = engine
    ids = prompt(folders, 8)
    asked: dict[str, Any] = {"temperature": 1.0, "seed": 11, "presence_penalty": 1.0}
    straight, moved = sequence(ids, 14, **asked), sequence(ids, 14, **asked)
    finish(backend, [straight])
    assert backend.begin(moved) == 0
    for _ in range(60):
        backend.step([Span(moved, 1)])
        if len(made(moved)) == 14:
            break
        backend.evict(moved)
        assert backend.begin(moved) == len(moved.ids) - 1
    backend.release(moved)
    assert made(moved) == made(straight)


def test_a_released_text_is_gone_from_vllm_too(engine: Engine, folders: dict[str, Path]) -> None:
    backend, _ = engine
    text = sequence(prompt(folders, 9), 200)
    backend.begin(text)
    while not made(text):
        backend.step([Span(text, 1)])
    assert backend._engine.has_unfinished_requests()
    backend.release(text)
    backend.release(text)
    assert not backend._engine.has_unfinished_requests()
    assert not backend._texts
    assert not backend._by_number


def test_a_better_priority_is_read_first(engine: Engine, folders: dict[str, Path]) -> None:
    """Four texts fit inside (twice two slots); of two that wait there, the better one is next."""
    backend, _ = engine
    ids = prompt(folders, 10)
    texts = [sequence([*ids, number], 4 + 20 * (number > 0), priority=5) for number in range(4)]
    waits, better = sequence(ids, 3, priority=7), sequence([*ids, 9], 3, priority=1)
    everyone = [*texts, waits, better]
    for text in everyone:
        backend.begin(text)
    while not made(better):
        backend.step([Span(text, 1) for text in everyone])
        assert not made(waits)
        if len(made(texts[0])) == 4 and texts[0] in everyone:
            everyone.remove(texts[0])
            backend.release(texts[0])
    for text in everyone:
        backend.release(text)


def test_what_was_read_before_is_not_read_again(engine: Engine, folders: dict[str, Path]) -> None:
    ids = [3 + (5 * place) % 400 for place in range(200)]
    [first] = finish(engine[0], [sequence(ids, 2)])
    [second] = finish(engine[0], [sequence(ids, 2)])
    assert first[0].cached == 0
    assert second[0].cached >= 64


def test_a_failure_inside_vllm_costs_the_engine(
    engine: Engine, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its scheduler's state cannot be trusted any more, so this test is the last one with it."""
    backend, _ = engine
    text = sequence(prompt(folders, 9), 5)
    executor = backend._engine.model_executor
    monkeypatch.setattr(executor, "execute_model", lambda *args, **more: 1 / 0)
    with pytest.raises(DeviceLost):
        finish(backend, [text])
