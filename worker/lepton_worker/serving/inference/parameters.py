"""Parameters of a request: who asks, until when, and what each task takes."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from lepton.v1 import common_pb2, generation_pb2
from lepton_worker.errors import InvalidRequest, Violation
from lepton_worker.request import Task
from lepton_worker.serving.desk import HIGHEST, LONGEST_TENANT, LOWEST
from lepton_worker.serving.generation_messages import asked_sampling, sampling_violations
from lepton_worker.tasks.generate import AskedSampling
from lepton_worker.tasks.reading import Overflow
from lepton_worker.tasks.tag import Aggregation

Value: TypeAlias = bool | int | float | str

MICROSECONDS = 1_000_000
MOST_IGNORED = 8
"""Names that an answer tells of."""

GENERAL = frozenset(
    {
        "adapter",
        "tenant",
        "priority",
        "timeout",
        # Known to clients of the protocol and without a meaning here.
        "sequence_id",
        "sequence_start",
        "sequence_end",
        "headers",
        "binary_data_output",
        "content_type",
    }
)
RESERVED = "triton_"
FINAL = "triton_final_response"

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
    "seed": "seed",
    "ignore_eos": "ignore_eos",
    "stop": "stop",
    "stop_words": "stop",
}
"""Parameters of a generating model, and the fields of `lepton.v1.Sampling` that they set."""

WHOLE = frozenset({"max_new_tokens", "min_new_tokens", "top_k"})
"""Fields that are whole numbers of 32 bits."""

OF_TASK: Mapping[Task, frozenset[str]] = {
    Task.CLASSIFY: frozenset({"overflow"}),
    Task.EMBED: frozenset({"overflow", "normalize", "dimensions", "prompt_name"}),
    Task.TAG: frozenset({"overflow", "aggregation"}),
    Task.ANSWER: frozenset({"max_answer_tokens"}),
    Task.GENERATE: frozenset(SAMPLING),
}


class Parameters:
    """Parameters by name, with the checks of each kind. Mistakes are collected for `check`."""

    def __init__(self, sent: Mapping[str, Any]) -> None:
        self._values = {name: _value(parameter) for name, parameter in sent.items()}
        self._wrong: list[Violation] = []

    def check(self) -> None:
        """Raise InvalidRequest if anything was wrong."""
        if self._wrong:
            raise InvalidRequest(self._wrong)

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def wrong(self, name: str, description: str) -> None:
        """Note a mistake."""
        self._wrong.append(Violation(field_of(name), description))

    def text(self, name: str) -> str:
        """A text, empty if there is none."""
        value = self._values.get(name)
        if value is None or isinstance(value, str):
            return value or ""
        self.wrong(name, "must be a text")
        return ""

    def flag(self, name: str) -> bool:
        """Yes or no; no if it is not there. Also the texts `true` and `false`."""
        value = self._values.get(name)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if value is None or isinstance(value, bool):
            return bool(value)
        self.wrong(name, "must be true or false")
        return False

    def number(self, name: str) -> float:
        """A number, 0 if there is none. Also as a text: some clients send no fractions."""
        value = self._values.get(name)
        try:
            found = 0.0 if value is None or isinstance(value, bool) else float(value)
        except (ValueError, OverflowError):
            found = math.nan
        if isinstance(value, bool) or math.isnan(found):
            self.wrong(name, "must be a number")
            return 0.0
        return found

    def whole(self, name: str, low: int, high: int) -> int:
        """A whole number within bounds, 0 if there is none."""
        value = self._values.get(name)
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,20}", value, re.ASCII):
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.wrong(name, f"must be a whole number from {low} to {high}")
            return 0
        return value

    def one_of(self, name: str, values: type[Any], default: Any) -> Any:
        """A member of an enumeration by its value."""
        text = self.text(name)
        known = [item.value for item in values]
        if text and text not in known:
            self.wrong(name, f"must be one of {', '.join(known)}")
        return values(text) if text in known else default

    def sampling_names(self) -> dict[str, str]:
        """The fields of `lepton.v1.Sampling` that are set, each with the name that was sent."""
        return {field: name for name, field in SAMPLING.items() if name in self}

    def ignored(self, task: Task) -> list[str]:
        """Names that mean nothing for a task."""
        known = GENERAL | OF_TASK[task]
        return sorted(
            name for name in self._values if name not in known and not name.startswith(RESERVED)
        )


def _value(parameter: Any) -> Value | None:
    kind = parameter.WhichOneof("parameter_choice")
    value: Value | None = None if kind is None else getattr(parameter, kind)
    return value


def field_of(name: str) -> str:
    """How a parameter is called in errors."""
    return f"parameters[{name[:64]}]"


# ------------------------------------------------------------------ every request
@dataclass(frozen=True)
class Asked:
    """Who asks; `seconds` is how long the answer may take, None if that is not said."""

    meta: common_pb2.RequestMeta
    seconds: float | None = None


def asked(model_name: str, parameters: Parameters) -> Asked:
    """What every task takes; raises InvalidRequest."""
    tenant = parameters.text("tenant")
    if len(tenant) > LONGEST_TENANT:
        parameters.wrong("tenant", f"must have at most {LONGEST_TENANT} characters")
    meta = common_pb2.RequestMeta(
        model=model_name,
        adapter=parameters.text("adapter"),
        tenant=tenant,
        priority=parameters.whole("priority", LOWEST, HIGHEST),
    )
    timeout = parameters.whole("timeout", 0, 2**63 - 1)
    parameters.check()
    return Asked(meta, timeout / MICROSECONDS if timeout else None)


# ------------------------------------------------------------------ tasks
@dataclass(frozen=True)
class Reads:
    """How inputs of encoders are read, and how what comes of them is written."""

    overflow: Overflow = Overflow.REJECT
    aggregation: Aggregation = Aggregation.SIMPLE
    normalize: bool | None = None
    dimensions: int = 0
    prompt: str = ""
    longest: int = 0


def reads(parameters: Parameters, prompts: Sequence[str], dimensions: int) -> Reads:
    """What tasks on whole texts take; raises InvalidRequest."""
    prompt = parameters.text("prompt_name")
    if prompt and prompt not in prompts:
        names = ", ".join(sorted(filter(None, prompts))) or "none"
        parameters.wrong("prompt_name", f"is none that the model declares; those are: {names}")
    found = Reads(
        overflow=parameters.one_of("overflow", Overflow, Overflow.REJECT),
        aggregation=parameters.one_of("aggregation", Aggregation, Aggregation.SIMPLE),
        normalize=parameters.flag("normalize") if "normalize" in parameters else None,
        dimensions=parameters.whole("dimensions", 1, max(1, dimensions)),
        prompt=prompt,
        longest=parameters.whole("max_answer_tokens", 0, 2**31 - 1),
    )
    parameters.check()
    return found


def sampling(parameters: Parameters) -> AskedSampling:
    """What generating models take; raises InvalidRequest."""
    message = generation_pb2.Sampling()
    names: dict[str, str] = {}
    for name, field in SAMPLING.items():
        if name not in parameters:
            continue
        if field in names:
            parameters.wrong(name, f"says the same as {names[field]}; send one of them")
        names[field] = name
        _set(message, field, name, parameters)
    parameters.check()
    wrong = sampling_violations(message)
    if wrong:
        raise InvalidRequest([_renamed(item, names) for item in wrong])
    return asked_sampling(message)


def _set(message: generation_pb2.Sampling, field: str, name: str, parameters: Parameters) -> None:
    if field == "stop":
        message.stop.extend(_stops(parameters, name))
    elif field == "ignore_eos":
        message.ignore_eos = parameters.flag(name)
    elif field == "seed":
        # Clients without unsigned numbers count the upper half from below.
        message.seed = parameters.whole(name, -(2**63), 2**64 - 1) % 2**64
    elif field in WHOLE:
        setattr(message, field, parameters.whole(name, -(2**31), 2**31 - 1))
    else:
        setattr(message, field, parameters.number(name))


def _stops(parameters: Parameters, name: str) -> list[str]:
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


def renamed(error: InvalidRequest, names: Mapping[str, str]) -> InvalidRequest:
    """The same error about parameters instead of fields of `lepton.v1.Sampling`."""
    wrong = [_renamed(item, names) for item in error.violations]
    return type(error)(wrong, metadata=error.metadata)


def _renamed(item: Violation, names: Mapping[str, str]) -> Violation:
    head, _, field = item.field.partition("sampling.")
    if head or not field:
        return item
    return Violation(field_of(names.get(field, field)), item.description)
