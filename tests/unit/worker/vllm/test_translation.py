"""Requests in vLLM's words, and vLLM's outputs in ours, without vLLM."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lepton_worker.backends.base import LoadOrder, Written
from lepton_worker.backends.vllm.arguments import (
    LEAST_BYTES,
    arguments,
    cache_bytes,
    cache_tokens,
)
from lepton_worker.backends.vllm.outputs import News, news
from lepton_worker.backends.vllm.parameters import fields, structured
from lepton_worker.errors import InvalidRequest
from lepton_worker.request import Beams, Constraint, Sampling, Task, TokenLogprob

PLAIN = Sampling(max_new_tokens=8)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, {"max_tokens": 8, "temperature": 0.0, "stop_token_ids": [], "ignore_eos": True}),
        ({}, {"logprobs": None, "prompt_logprobs": None, "logit_bias": None, "seed": None}),
        ({}, {"detokenize": False}),
        ({"max_new_tokens": 0}, {"max_tokens": 1}),
        ({"min_new_tokens": 3}, {"min_tokens": 3}),
        ({"temperature": 0.7, "seed": 4}, {"temperature": 0.7, "seed": 4}),
        ({"top_p": 0.5, "top_k": 9, "min_p": 0.1}, {"top_p": 0.5, "top_k": 9, "min_p": 0.1}),
        ({"repetition_penalty": 1.2}, {"repetition_penalty": 1.2}),
        ({"presence_penalty": 1.0}, {"presence_penalty": 1.0, "frequency_penalty": 0.0}),
        ({"ends": frozenset([7, 2])}, {"stop_token_ids": [2, 7]}),
        ({"bias": ((5, -1.5),)}, {"logit_bias": {5: -1.5}}),
        ({"logprobs": 0}, {"logprobs": 0, "prompt_logprobs": None}),
        ({"prompt_logprobs": True}, {"logprobs": None, "prompt_logprobs": 0}),
        ({"prompt_logprobs": True, "logprobs": 4}, {"logprobs": 4, "prompt_logprobs": 4}),
    ],
)
def test_fields(changes: dict[str, Any], wanted: dict[str, Any]) -> None:
    found = fields(replace(PLAIN, **changes))
    assert {name: found[name] for name in wanted} == wanted
    assert "stop" not in found  # the front decodes, and finds them


def test_what_a_model_never_says_is_banned() -> None:
    found = fields(replace(PLAIN, bias=((5, 2.0), (6, 3.0))), suppressed=(6, 9))
    assert found["logit_bias"] == {5: 2.0, 6: -100.0, 9: -100.0}


def test_a_constraint_ends_at_the_end_of_text_even_where_that_is_ignored() -> None:
    free = replace(PLAIN, constraint=Constraint("choices", ("a", "b")))
    assert fields(free, end_of_text=3)["stop_token_ids"] == [3]
    assert fields(replace(free, constraint=None), end_of_text=3)["stop_token_ids"] == []


@pytest.mark.parametrize(
    "changes", [{"no_repeat_ngram": 2}, {"forced": (4,)}, {"beams": Beams(count=2)}]
)
def test_what_vllm_has_not_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        fields(replace(PLAIN, **changes))
    assert [item.field for item in caught.value.violations] == [f"sampling.{next(iter(changes))}"]


def test_structured_outputs() -> None:
    assert structured(Constraint("choices", ("a", "b"))) == {"choice": ["a", "b"]}
    assert structured(Constraint("grammar", ("start: A",))) == {"grammar": "start: A"}
    assert structured(Constraint("regex", (r"\d",))) == {"grammar": "start: /[0-9]/"}
    anything = json.loads(structured(Constraint("json_object"))["json"])
    assert anything["type"] == "object"
    schema = json.loads(structured(Constraint("json_schema", ('{"type": "array"}',)))["json"])
    assert schema["type"] == "array"
    assert schema["x-guidance"]["lenient"] is False
    assert structured(Constraint("json_schema", ("true",))) == {"json": "true"}


@dataclass
class Rated:
    logprob: float


def output(ids: list[int], **facts: Any) -> Any:
    completion = SimpleNamespace(
        token_ids=ids, logprobs=facts.get("logprobs"), finish_reason=facts.get("reason")
    )
    return SimpleNamespace(
        outputs=[completion],
        finished=facts.get("reason") is not None,
        num_cached_tokens=facts.get("cached"),
        prompt_token_ids=facts.get("prompt", [1, 2]),
        prompt_logprobs=facts.get("rated"),
    )


def test_outputs() -> None:
    assert news(output([4]), None) == News((Written(4),))
    assert news(output([4, 5], reason="stop", cached=3), None) == News(
        (Written(4), Written(5)), "stop", cached=3
    )
    assert news(output([], reason="abort"), None) == News((), "abort")


def test_log_probabilities() -> None:
    """vLLM puts the chosen token first, and the best ones behind it in any order."""
    place = {4: Rated(-3.0), 9: Rated(-0.5), 8: Rated(-0.1)}
    best = ((8, -0.1), (9, -0.5))
    found = news(output([4], logprobs=[place]), 2)
    assert found.written == (Written(4, TokenLogprob(4, -3.0, best)),)
    assert news(output([4], logprobs=[place]), 0).written[0].logprob == TokenLogprob(4, -3.0)
    read = news(output([4], prompt=[6, 4], rated=[None, place]), None)
    assert read.prompt == (TokenLogprob(4, -3.0),)
    assert news(output([4], rated=[]), None).prompt == ()


def test_arguments() -> None:
    order = LoadOrder(Path("/model"), Task.GENERATE, slots=16)
    found = arguments(order, "cuda", seed=5)
    assert (found["model"], found["max_num_seqs"], found["seed"]) == ("/model", 32, 5)
    assert (found["dtype"], found["max_model_len"]) == ("auto", -1)
    assert found["scheduling_policy"] == "priority"
    assert not {"enforce_eager", "max_num_batched_tokens", "quantization"} & found.keys()
    on_cpu = arguments(replace(order, max_length=512, step_tokens=64), "cpu", seed=5)
    assert (on_cpu["dtype"], on_cpu["max_model_len"]) == ("float32", 512)
    assert (on_cpu["enforce_eager"], on_cpu["max_num_batched_tokens"]) == (True, 64)
    assert arguments(replace(order, dtype="bfloat16"), "cpu", seed=5)["dtype"] == "bfloat16"


def test_memory() -> None:
    gib = 2**30
    assert cache_bytes(None, 0, 0, 3 * gib) == 3 * gib
    assert cache_bytes(20 * gib, gib, gib, 3 * gib) == 3 * gib
    assert cache_bytes(20 * gib, gib, 10 * gib, 30 * gib) == 6 * gib
    assert cache_bytes(gib, gib, gib, gib) == LEAST_BYTES
    assert cache_tokens(10_000, block=16, slots=8, max_length=4096) == 10_000 - 128
    assert cache_tokens(4100, block=16, slots=8, max_length=4096) == 4096
    assert cache_tokens(1000, block=16, slots=8, max_length=4096) == 1000
