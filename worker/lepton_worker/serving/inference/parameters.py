"""Parameters of a request: who asks, until when, and what each task takes."""

import difflib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lepton.v1 import common_pb2
from lepton_worker.errors import InvalidRequest, Violation
from lepton_worker.request import Task
from lepton_worker.serving.desk import HIGHEST, LONGEST_TENANT, LOWEST
from lepton_worker.tasks.reading import Overflow
from lepton_worker.tasks.tag import Aggregation

Value = bool | int | float | str

MICROSECONDS = 1_000_000
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

OF_TASK: Mapping[Task, frozenset[str]] = {
    Task.CLASSIFY: frozenset({"overflow"}),
    Task.EMBED: frozenset({"overflow", "normalize", "dimensions", "prompt_name"}),
    Task.TAG: frozenset({"overflow", "aggregation"}),
    Task.ANSWER: frozenset({"max_answer_tokens"}),
}
"""Parameters of tasks that read; those of generating models are in other modules."""


class Parameters:
    """Parameters by name, with the checks of each kind. Mistakes are collected for `check`."""

    def __init__(self, sent: Mapping[str, Any]) -> None:
        self._values = {name: _value(parameter) for name, parameter in sent.items()}
        self._fields = {name: field_of(name) for name in sent}
        self._wrong: list[Violation] = []

    def check(self) -> None:
        """Raise InvalidRequest if anything was wrong."""
        if self._wrong:
            raise InvalidRequest(self._wrong)

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def add(self, name: str, value: Any, field: str) -> None:
        """One more, sent in another way as `field`; a mistake if it is there already.

        Lists and objects become JSON, as parameters of a request have no other way to be one.
        """
        if name in self:
            self.wrong_field(field, f"is also sent as {self._fields[name]}; send one of them")
            return
        self._values[name] = value if isinstance(value, Value) else json.dumps(value)
        self._fields[name] = field

    def field(self, name: str) -> str:
        """How the caller calls a parameter."""
        return self._fields.get(name, field_of(name))

    def wrong(self, name: str, description: str) -> None:
        """Note a mistake."""
        self.wrong_field(self.field(name), description)

    def wrong_field(self, field: str, description: str) -> None:
        """Note a mistake in what is no parameter by itself."""
        self._wrong.append(Violation(field, description))

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
        if isinstance(value, bool) or not isinstance(value, int):
            self.wrong(name, "must be a whole number")
            return 0
        if not low <= value <= high:
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

    def check_known(self, names: frozenset[str], task: Task) -> None:
        """Raise InvalidRequest for parameters that mean nothing to a model for this task."""
        known = GENERAL | names
        for name in self._values:
            if name not in known and not name.startswith(RESERVED):
                near = difflib.get_close_matches(name[:64], sorted(known), 1)
                hint = f"did you mean {near[0]}?" if near else "leave it out"
                self.wrong(name, f"is no parameter of a model for {task.value}; {hint}")
        self.check()


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
