"""Chats as OpenAI's API writes them in JSON: messages, tools, and the choice among tools."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lepton_worker.errors import InvalidRequest, Violation
from lepton_worker.tasks.chat import Message, Tool, ToolCall, json_object
from lepton_worker.tasks.tool_choice import ToolMode

MESSAGE = ("role", "content", "tool_calls", "tool_call_id", "name")
TOOL = ("name", "description", "parameters")


def messages_of(text: str) -> tuple[Message, ...]:
    """The messages of a chat; raises InvalidRequest, whose fields are those of the list."""
    found = _list(text, "messages", "messages with role and content")
    wrong: list[Violation] = []
    made = [_message(item, f"messages[{index}]", wrong) for index, item in enumerate(found)]
    if wrong:
        raise InvalidRequest(wrong)
    return tuple(made)


def tools_of(text: str) -> tuple[Tool, ...]:
    """The tools; raises InvalidRequest."""
    found = _list(text, "tools", 'tools: {"type": "function", "function": {"name": …}}')
    wrong: list[Violation] = []
    made = [_tool(item, f"tools[{index}]", wrong) for index, item in enumerate(found)]
    if wrong:
        raise InvalidRequest(wrong)
    return tuple(made)


def choice_of(text: str) -> tuple[ToolMode, str]:
    """Mode and name of a choice: one of the modes, or a function; raises InvalidRequest."""
    modes = {mode.value: mode for mode in ToolMode}
    if text.strip('"') in modes:
        return modes[text.strip('"')], ""
    function = (json_object(text) or {}).get("function")
    name = function.get("name") if isinstance(function, dict) else None
    if isinstance(name, str) and name:
        return ToolMode.REQUIRED, name
    shape = '{"type": "function", "function": {"name": …}}'
    raise InvalidRequest([Violation("tool_choice", f"must be {', '.join(modes)} or {shape}")])


def calls_as_json(calls: Sequence[ToolCall]) -> str:
    """Calls of an answer; `mismatch` is there where arguments do not fit."""
    return json.dumps([_shown(call) for call in calls], ensure_ascii=False)


def _shown(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    wrong = {"mismatch": call.mismatch} if call.mismatch else {}
    return {"id": call.id, "type": "function", "function": function, **wrong}


def _list(text: str, name: str, of: str) -> list[Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        raise InvalidRequest([Violation(name, f"must be a JSON list of {of}")])
    return found


def _message(item: Any, where: str, wrong: list[Violation]) -> Message:
    sent = _known(item, MESSAGE, where, wrong)
    calls = sent.get("tool_calls", [])
    if not isinstance(calls, list):
        wrong.append(Violation(f"{where}.tool_calls", "must be a list"))
        calls = []
    return Message(
        role=_text(sent, "role", where, wrong),
        content=_content(sent.get("content", ""), f"{where}.content", wrong),
        tool_calls=tuple(
            _call(call, f"{where}.tool_calls[{number}]", wrong) for number, call in enumerate(calls)
        ),
        tool_call_id=_text(sent, "tool_call_id", where, wrong),
        name=_text(sent, "name", where, wrong),
    )


def _content(value: Any, where: str, wrong: list[Violation]) -> str:
    """A text, or parts of one that are joined."""
    if isinstance(value, str):
        return value
    parts = value if isinstance(value, list) else [None]
    texts = [
        part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        for part in parts
    ]
    found = [text for text in texts if isinstance(text, str)]
    if len(found) < len(texts):
        text = (
            'must be a text, or a list of parts {"type": "text", "text": …}: nothing else is read'
        )
        wrong.append(Violation(where, text))
    return "".join(found)


def _call(item: Any, where: str, wrong: list[Violation]) -> ToolCall:
    sent = _known(item, ("id", "type", "function", "index"), where, wrong)
    function = _known(sent.get("function"), ("name", "arguments"), f"{where}.function", wrong)
    arguments = function.get("arguments", "")
    if isinstance(arguments, dict):
        arguments = json.dumps(arguments, ensure_ascii=False)
    if not isinstance(arguments, str):
        wrong.append(Violation(f"{where}.function.arguments", "must be a JSON object, as a text"))
        arguments = ""
    name = _text(function, "name", f"{where}.function", wrong)
    return ToolCall(_text(sent, "id", where, wrong), name, arguments)


def _tool(item: Any, where: str, wrong: list[Violation]) -> Tool:
    sent = _known(item, ("type", "function"), where, wrong)
    if sent.get("type", "function") != "function":
        wrong.append(Violation(f"{where}.type", "must be function: no other tools are known"))
    where = f"{where}.function"
    function = _known(sent.get("function"), (*TOOL, "strict"), where, wrong)
    parameters = function.get("parameters", {})
    if not isinstance(parameters, dict):
        wrong.append(Violation(f"{where}.parameters", "must be a JSON schema of an object"))
        parameters = {}
    name, description = (_text(function, key, where, wrong) for key in ("name", "description"))
    return Tool(name, description, parameters)


def _known(item: Any, keys: Sequence[str], where: str, wrong: list[Violation]) -> Mapping[str, Any]:
    """The members of an object that are set; anything unknown is wrong."""
    if not isinstance(item, dict):
        wrong.append(Violation(where, f"must be an object with {', '.join(keys)}"))
        return {}
    found = {key: value for key, value in item.items() if value is not None}
    wrong += [
        Violation(f"{where}.{key[:64]}", f"is not known here; there are {', '.join(keys)}")
        for key in found
        if key not in keys
    ]
    return found


def _text(sent: Mapping[str, Any], key: str, where: str, wrong: list[Violation]) -> str:
    value = sent.get(key, "")
    if isinstance(value, str):
        return value
    wrong.append(Violation(f"{where}.{key}", "must be a text"))
    return ""
