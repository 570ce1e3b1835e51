"""Parameters of a generating model that say how tokens are chosen."""

import json
from collections.abc import Mapping
from typing import Any

from lepton.v1 import generation_pb2
from lepton_worker.errors import InvalidRequest, Violation
from lepton_worker.serving.generation_messages import asked_sampling, sampling_violations
from lepton_worker.serving.inference.parameters import Parameters
from lepton_worker.tasks.chat import json_object
from lepton_worker.tasks.generate import AskedSampling

SAMPLING = {
    "max_tokens": "max_new_tokens",
    "max_new_tokens": "max_new_tokens",
    "min_tokens": "min_new_tokens",
    "min_new_tokens": "min_new_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "repetition_penalty": "repetition_penalty",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "logit_bias": "logit_bias",
    "seed": "seed",
    "ignore_eos": "ignore_eos",
    "stop": "stop",
    "stop_words": "stop",
    "logprobs": "logprobs",
    "n": "n",
    "json_schema": "json_schema",
    "json_object": "json_object",
    "regex": "regex",
    "choices": "choices",
    "grammar": "grammar",
}
"""Parameters, and the fields of `lepton.v1.Sampling` that they set."""

CONSTRAINTS = ("json_schema", "json_object", "regex", "choices", "grammar")

STRUCTURED = ("structured_outputs", "guided_decoding")
"""vLLM's names for an object that has one constraint, and its names for those."""

IN_STRUCTURED = {
    "json": "json_schema",
    "json_object": "json_object",
    "regex": "regex",
    "choice": "choices",
    "grammar": "grammar",
}

JSON = "sampling_parameters"
"""All of these in one JSON object, as Triton's vLLM backend takes them."""

NAMES = frozenset([*SAMPLING, *STRUCTURED, JSON])

WHOLE = frozenset({"max_new_tokens", "min_new_tokens", "top_k", "logprobs", "n"})
"""Fields that are whole numbers of 32 bits."""


def opened(parameters: Parameters) -> None:
    """Put what comes within JSON objects beside what comes by itself; mistakes are noted."""
    _open(parameters, JSON, {})
    for name in STRUCTURED:
        _open(parameters, name, IN_STRUCTURED)


def _open(parameters: Parameters, name: str, names: Mapping[str, str]) -> None:
    if name not in parameters:
        return
    field, text = parameters.field(name), parameters.text(name)
    found = json_object(text)
    if found is None:
        parameters.wrong(name, "must be a JSON object")
        return
    for key, value in found.items():
        if names and key not in names:
            text = f"is not known here; there are {', '.join(names)}"
            parameters.wrong_field(f"{field}.{key[:64]}", text)
        elif value is not None:
            parameters.add(names.get(key, key), value, f"{field}.{key[:64]}")


def sampling_fields(parameters: Parameters) -> dict[str, str]:
    """The fields of `lepton.v1.Sampling` that are set, each with how the caller calls it."""
    return {field: parameters.field(name) for name, field in SAMPLING.items() if name in parameters}


def sampling(parameters: Parameters) -> AskedSampling:
    """What generating models take; raises InvalidRequest."""
    message = generation_pb2.Sampling()
    names: dict[str, str] = {}
    for name, field in SAMPLING.items():
        if name not in parameters:
            continue
        if field in names:
            parameters.wrong(name, f"says the same as {names[field]}; send one of them")
        others = [other for other in CONSTRAINTS if field in CONSTRAINTS and other in names]
        if others and field not in names:
            parameters.wrong(name, f"cannot be kept beside {names[others[0]]}; send one of them")
        names[field] = name
        _set(message, field, name, parameters)
    parameters.check()
    wrong = sampling_violations(message)
    if wrong:
        raise renamed(InvalidRequest(wrong), sampling_fields(parameters))
    return asked_sampling(message)


def _set(message: Any, field: str, name: str, parameters: Parameters) -> None:
    if field == "stop":
        message.stop.extend(_texts(parameters, name))
    elif field == "choices":
        message.choices.texts.extend(_texts(parameters, name))
    elif field == "logit_bias":
        _set_bias(message, name, parameters)
    elif field in ("ignore_eos", "json_object"):
        setattr(message, field, parameters.flag(name))
    elif field in CONSTRAINTS:
        setattr(message, field, parameters.text(name))
    elif field == "seed":
        # Clients without unsigned numbers count the upper half from below.
        message.seed = parameters.whole(name, -(2**63), 2**64 - 1) % 2**64
    elif field in WHOLE:
        setattr(message, field, parameters.whole(name, -(2**31), 2**31 - 1))
    else:
        setattr(message, field, parameters.number(name))


def _texts(parameters: Parameters, name: str) -> list[str]:
    """One text, or several as a list in JSON."""
    text = parameters.text(name)
    if not text.startswith("["):
        return [text]
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return [text]
    if not all(isinstance(item, str) for item in found):
        parameters.wrong(name, "must be a text, or a list of texts in JSON")
        return []
    return list(found)


def _set_bias(message: Any, name: str, parameters: Parameters) -> None:
    """Tokens and numbers: a JSON object."""
    found = json_object(parameters.text(name))
    try:
        biases = {int(token): float(bias) for token, bias in (found or {}).items()}
        message.logit_bias.update(biases)
    except (ValueError, TypeError, OverflowError):
        found = None
    if found is None:
        parameters.wrong(name, 'must be a JSON object of tokens and numbers, such as {"50": -100}')


def renamed(error: InvalidRequest, names: Mapping[str, str]) -> InvalidRequest:
    """The same error, in the caller's names for fields of `lepton.v1.Sampling`."""
    return type(error)(
        [_renamed(item, names) for item in error.violations], metadata=error.metadata
    )


def _renamed(item: Violation, names: Mapping[str, str]) -> Violation:
    head, _, path = item.field.partition("sampling.")
    if head or not path:
        return item
    field, bracket, rest = path.partition("[")
    return Violation(f"{names.get(field, field)}{bracket}{rest}", item.description)
