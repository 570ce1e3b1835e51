"""What a request to a generating model says beside its prompt: which outputs, and the chat around.

Named as in Triton's vLLM backend where that has a name. Each is taken as a parameter of the request
or as an input of one element.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lepton_worker.errors import InvalidRequest, Violation
from lepton_worker.serving.inference.parameters import Parameters, Value
from lepton_worker.serving.inference.tensors import Spec, Tensor, texts
from lepton_worker.tasks.chat import Chat, json_object, violations
from lepton_worker.tasks.chat_json import choice_of, messages_of, tools_of
from lepton_worker.tasks.tool_choice import ToolChoice, ToolMode

ONE = (1,)
FLAG, TEXT = ("BOOL",), ("BYTES",)

RETURNED = {
    "return_finish_reason": "finish_reason",
    "return_cumulative_logprob": "cumulative_logprob",
    "return_logprobs": "logprobs",
    "return_num_input_tokens": "num_input_tokens",
    "return_num_output_tokens": "num_output_tokens",
}
"""Options, and the outputs that they ask for."""

CHAT = {
    "tools": "tools",
    "tool_choice": "tool_choice",
    "parallel_tool_calls": "parallel_tool_calls",
    "template_variables": "template_variables",
    "chat_template_kwargs": "template_variables",
    "continue_last": "continue_last",
    "continue_final_message": "continue_last",
}
"""Options that go with messages, and the fields of `lepton.v1.ChatRequest` that they set."""

STREAM, ECHO = "stream", "exclude_input_in_output"
NAMES = frozenset([STREAM, ECHO, *RETURNED, *CHAT])

INPUTS = (
    *(Spec(name, FLAG, ONE, optional=True) for name in (STREAM, ECHO, *RETURNED)),
    Spec("sampling_parameters", TEXT, ONE, optional=True),
)
CHAT_INPUTS = (
    Spec("tools", TEXT, ONE, optional=True),
    Spec("tool_choice", TEXT, ONE, optional=True),
)
NEEDS_LOGPROBS = frozenset({"cumulative_logprob", "logprobs"})


@dataclass(frozen=True)
class Options:
    """`stream` None is as the call does it; `echo` repeats the prompt in front of the text.
    `returned` has outputs that are asked for (True) or not wanted (False)."""

    stream: bool | None
    echo: bool
    returned: Mapping[str, bool]

    def wanted(self, named: Sequence[Spec], all_of: Sequence[Spec], tools: bool) -> list[Spec]:
        """The outputs of an answer: those of the request's own list, or the usual ones; and those
        that options ask for."""
        chosen = list(named) or [
            spec
            for spec in all_of
            if self.returned.get(spec.name, not spec.optional or (tools and spec.name == CALLS))
        ]
        return chosen + [
            spec for spec in all_of if self.returned.get(spec.name) and spec not in chosen
        ]


CALLS = "tool_calls"


def from_inputs(tensors: Mapping[str, Tensor], parameters: Parameters) -> dict[str, Tensor]:
    """The inputs that are no options; options become parameters, mistakes are noted there."""
    left = {}
    names = {spec.name for spec in (*INPUTS, *CHAT_INPUTS)}
    for name, tensor in tensors.items():
        if name not in names:
            left[name] = tensor
        elif len(tensor.values) != 1:
            parameters.wrong_field(name, f"must have one element, not {len(tensor.values)}")
        else:
            value: Value = (
                texts(tensor)[0] if isinstance(tensor.values, list) else bool(tensor.values[0])
            )
            parameters.add(name, value, name)
    return left


def options(parameters: Parameters) -> Options:
    """Which outputs, and how; mistakes are noted."""
    return Options(
        parameters.flag(STREAM) if STREAM in parameters else None,
        ECHO in parameters and not parameters.flag(ECHO),
        {output: parameters.flag(name) for name, output in RETURNED.items() if name in parameters},
    )


# ------------------------------------------------------------------ chats
def chats(rows: Sequence[str], name: str, parameters: Parameters) -> list[Chat]:
    """A chat for each row of messages; raises InvalidRequest in the caller's names."""
    around, fields = _around(parameters)
    found = []
    for index, row in enumerate(rows):
        named = {**fields, "messages": f"{name}[{index}]"}
        try:
            chat = replace(around, messages=messages_of(row))
        except InvalidRequest as error:
            raise located(error, named) from None
        wrong = violations(chat)
        if wrong:
            raise located(InvalidRequest(wrong), named)
        found.append(chat)
    return found


def chat_fields(parameters: Parameters) -> dict[str, str]:
    """Fields of `lepton.v1.ChatRequest`, each with how the caller calls it."""
    fields = {field: parameters.field(field) for field in CHAT.values()}
    sent = {field: parameters.field(name) for name, field in CHAT.items() if name in parameters}
    return {**fields, **sent}


def none_of_chat(parameters: Parameters) -> None:
    """Note what only goes with messages."""
    for name in CHAT:
        if name in parameters:
            parameters.wrong(name, "goes with the input messages only, and there is none")


def _around(parameters: Parameters) -> tuple[Chat, dict[str, str]]:
    """A chat without messages."""
    fields = chat_fields(parameters)
    names = {field: name for name, field in CHAT.items() if name in parameters}

    def text(field: str) -> str:
        return parameters.text(names[field]) if field in names else ""

    variables = json_object(text("template_variables") or "{}")
    if variables is None:
        parameters.wrong(names["template_variables"], "must be a JSON object")
    parallel = "parallel_tool_calls" not in names or parameters.flag("parallel_tool_calls")
    last = "continue_last" in names and parameters.flag(names["continue_last"])
    tools, chosen = text("tools"), text("tool_choice")
    parameters.check()
    try:
        mode, tool = choice_of(chosen) if chosen else (ToolMode.AUTO, "")
        chat = Chat(
            messages=(),
            tools=tools_of(tools) if tools else (),
            variables=variables or {},
            continue_last=last,
            choice=ToolChoice(mode, tool, parallel),
        )
    except InvalidRequest as error:
        raise located(error, fields) from None
    return chat, fields


def located(error: InvalidRequest, fields: Mapping[str, str]) -> InvalidRequest:
    """The same error, in the caller's names for fields of a chat."""
    return type(error)(
        [_located(item, fields) for item in error.violations], metadata=error.metadata
    )


def _located(item: Violation, fields: Mapping[str, str]) -> Violation:
    end = min(
        (item.field.find(mark) for mark in ".[" if mark in item.field), default=len(item.field)
    )
    head, rest = item.field[:end], item.field[end:]
    return Violation(fields.get(head, head) + rest, item.description)
