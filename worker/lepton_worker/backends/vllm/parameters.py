"""A request in the words of vLLM's SamplingParams; knows no vLLM."""

import json
from collections.abc import Iterable
from typing import Any

import llguidance

from lepton_worker.backends.sampling.constraints import JSON_OPTIONS
from lepton_worker.errors import InvalidRequest, Violation
from lepton_worker.request import Constraint, Sampling

BAN = -100.0
"""The strongest bias that vLLM takes; it clamps others to it."""

STRUCTURED = "structured_outputs"
"""The one field whose value is another class's fields."""


def fields(
    sampling: Sampling, suppressed: Iterable[int] = (), end_of_text: int | None = None
) -> dict[str, Any]:
    """Fields of SamplingParams; those of StructuredOutputsParams under their name, as a dict.

    Ends are given as tokens to stop at, so that nothing but the request decides about them. Stop
    strings are the front's: it alone decodes. A prompt that is only to be read has to write one
    token all the same. With a constraint `end_of_text` ends the text in any case: vLLM allows
    nothing else behind a whole answer. Raises InvalidRequest for what vLLM has not.
    """
    _check(sampling)
    bias = {**dict(sampling.bias), **dict.fromkeys(suppressed, BAN)}
    ends = set(sampling.ends)
    if sampling.constraint is not None and end_of_text is not None:
        ends.add(end_of_text)
    found: dict[str, Any] = {
        "max_tokens": max(1, sampling.max_new_tokens),
        "min_tokens": sampling.min_new_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "seed": sampling.seed,
        "logit_bias": bias or None,
        "stop_token_ids": sorted(ends),
        "ignore_eos": True,
        "logprobs": sampling.logprobs,
        "prompt_logprobs": (sampling.logprobs or 0) if sampling.prompt_logprobs else None,
        "detokenize": False,
    }
    if sampling.constraint is not None:
        found[STRUCTURED] = structured(sampling.constraint)
    return found


def _check(sampling: Sampling) -> None:
    lacking = {
        "no_repeat_ngram": sampling.no_repeat_ngram > 0,
        "forced": bool(sampling.forced),
        "beams": sampling.rows > 1,
    }
    found = [
        Violation(f"sampling.{name}", "the backend vllm does not have it")
        for name, is_asked in lacking.items()
        if is_asked
    ]
    if found:
        raise InvalidRequest(found)


def structured(constraint: Constraint) -> dict[str, Any]:
    """Fields of StructuredOutputsParams, for vLLM's backend `guidance`: our own library."""
    texts = constraint.texts
    if constraint.kind == "choices":
        return {"choice": list(texts)}
    if constraint.kind == "grammar":
        return {"grammar": texts[0]}
    if constraint.kind == "regex":
        # By way of a grammar: \d and \w are those of ASCII, as in our own backends.
        return {"grammar": f"start: /{llguidance.regex_to_lark(texts[0], 'dw')}/"}
    schema = '{"type": "object"}' if constraint.kind == "json_object" else texts[0]
    return {"json": _spaced(schema)}


def _spaced(schema: str) -> str:
    """The schema with our bounds on white space, in the place where the library looks for them."""
    read = json.loads(schema)
    if not isinstance(read, dict):
        return schema
    return json.dumps({**read, "x-guidance": JSON_OPTIONS}, ensure_ascii=False)
