"""Chat: messages and tools become one text by the model's own template.

The templates are written for `apply_chat_template` of transformers and get the same variables here.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import jinja2

from lepton_worker.errors import InvalidRequest, TaskNotServed, Violation
from lepton_worker.model import Model, Tokenized
from lepton_worker.request import Tokens
from lepton_worker.tasks.prepare import LONGEST_TOKEN, complaint
from lepton_worker.tasks.templates import compiled
from lepton_worker.tasks.tool_choice import ToolChoice, ToolMode, choice_violations

ROLES = ("system", "user", "assistant", "tool")

RESERVED = frozenset({"messages", "tools", "documents", "add_generation_prompt"})
"""Variables of templates that a request cannot set by itself."""

MARK = "\ue000continue here\ue001"
"""Stands behind a message that shall be continued, until the rendered text is cut there."""

LONGEST_REASON = 200


@dataclass(frozen=True)
class ToolCall:
    """A call that the assistant makes; `arguments` is a JSON object, as the model wrote it.

    `mismatch` says where the arguments of an answer do not fit the tool's schema.
    """

    id: str
    name: str
    arguments: str
    mismatch: str = ""


@dataclass(frozen=True)
class Message:
    """One message of a chat."""

    role: str
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""


@dataclass(frozen=True)
class Tool:
    """What the model may call; `parameters` is the JSON schema of the arguments, an object. Where
    it is empty, there are none."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Chat:
    """What is rendered; `variables` are further ones of the template."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    continue_last: bool = False
    choice: ToolChoice = field(default_factory=ToolChoice)

    @property
    def offered(self) -> tuple[Tool, ...]:
        """The tools that the model is shown, and may call."""
        return () if self.choice.mode is ToolMode.NONE else self.tools


def violations(chat: Chat) -> list[Violation]:
    """What is wrong with a chat, whatever the model."""
    found = [] if chat.messages else [Violation("messages", "must have at least one message")]
    for index, message in enumerate(chat.messages):
        where = f"messages[{index}]"
        if message.role not in ROLES:
            found.append(Violation(f"{where}.role", f"must be one of {', '.join(ROLES)}"))
        if message.tool_calls and message.role != "assistant":
            found.append(
                Violation(
                    f"{where}.tool_calls",
                    "must be empty: only messages of role assistant call tools",
                )
            )
        for number, call in enumerate(message.tool_calls):
            at = f"{where}.tool_calls[{number}]"
            if not call.name:
                found.append(Violation(f"{at}.name", "must not be empty"))
            if json_object(call.arguments) is None:
                text = 'must be a JSON object, such as {"size": 3}; {} for none'
                found.append(Violation(f"{at}.arguments", text))
    for name in sorted(RESERVED & chat.variables.keys()):
        text = "is set by the server; send it in the request's own field"
        found.append(Violation(f"template_variables[{name}]", text))
    if chat.continue_last and chat.messages and chat.messages[-1].role != "assistant":
        found.append(Violation("continue_last", "needs a last message of role assistant"))
    names = [tool.name for tool in chat.tools]
    return [*found, *_tool_violations(chat.tools), *choice_violations(chat.choice, names)]


def _tool_violations(tools: Sequence[Tool]) -> list[Violation]:
    found = []
    names: dict[str, int] = {}
    for index, tool in enumerate(tools):
        first = names.setdefault(tool.name, index)
        if not tool.name:
            found.append(Violation(f"tools[{index}].name", "must not be empty"))
        elif first != index:
            text = f"must be another than that of tools[{first}], {tool.name!r}"
            found.append(Violation(f"tools[{index}].name", text))
        kind = tool.parameters.get("type", "object")
        if kind != "object" and not (isinstance(kind, list) and "object" in kind):
            text = 'must describe an object: arguments have names; its type must be "object"'
            found.append(Violation(f"tools[{index}].parameters", text))
    return found


def render(model: Model, chat: Chat) -> str:
    """The chat as the text that the model continues. It has its special tokens already: tokenize
    it without adding any.

    Raises TaskNotServed for a model without a usable template, InvalidRequest for messages that
    its template refuses.
    """
    template = _template_of(model)
    messages = [_message(message) for message in chat.messages]
    if chat.continue_last:
        messages[-1]["content"] += f"{MARK} "
    variables = {
        **model.special_tokens,
        **chat.variables,
        "messages": messages,
        "tools": [_tool(tool) for tool in chat.offered] or None,
        "documents": None,
        "add_generation_prompt": not chat.continue_last,
    }
    try:
        text = template.render(variables)
    except Exception as error:  # A template is a program of the model's, and fails like one.
        raise InvalidRequest([Violation("messages", _refusal(error))]) from error
    return _cut(text) if chat.continue_last else text


def chat_tokens(model: Model, chat: Chat, field: str) -> Tokens:
    """The rendered chat as tokens; raises as `render` does, and for more than the model takes.

    Special tokens that are written out in a message count as such, as in transformers.
    """
    text = render(model, chat)
    # Far too long ones are not read to their end.
    ids = model.tokenizer.pieces(text[: model.max_length * LONGEST_TOKEN], special=False).ids
    wrong = complaint(model, text, Tokenized(Tokens(ids)), field)
    if wrong is not None:
        raise wrong
    return Tokens(ids)


def json_object(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is, None if it is not one."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _message(message: Message) -> dict[str, Any]:
    """As transformers' templates expect it: what is not set is not there."""
    made: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        made["tool_calls"] = [_call(call) for call in message.tool_calls]
    if message.tool_call_id:
        made["tool_call_id"] = message.tool_call_id
    if message.name:
        made["name"] = message.name
    return made


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json_object(call.arguments)}
    return {**({"id": call.id} if call.id else {}), "type": "function", "function": function}


def _tool(tool: Tool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": dict(tool.parameters) or {"type": "object", "properties": {}},
    }
    return {"type": "function", "function": function}


def _cut(text: str) -> str:
    """The text up to the mark; trimmed at its end where the template trims the message.

    The way of `continue_final_message` in transformers.
    """
    place = text.rfind(MARK)
    if place < 0:
        wrong = "the model's chat template leaves out the last message, so it cannot be continued"
        raise InvalidRequest([Violation("continue_last", wrong)])
    kept = text[:place]
    return kept if text.startswith(f"{MARK} ", place) else kept.rstrip()


def _refusal(error: Exception) -> str:
    reason = str(error)[:LONGEST_REASON] or type(error).__name__
    if isinstance(error, jinja2.TemplateError):
        return f"the model's chat template refuses them: {reason}"
    return f"the model's chat template cannot render them: {type(error).__name__}: {reason}"


def _template_of(model: Model) -> jinja2.Template:
    if not model.chat_template:
        raise TaskNotServed(
            "this model has no chat template; write the prompt yourself and call Generate"
        )
    try:
        return compiled(model.chat_template)
    except jinja2.TemplateError as error:
        raise TaskNotServed(
            f"the model's chat template cannot be read ({error}); "
            "write the prompt yourself and call Generate"
        ) from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
