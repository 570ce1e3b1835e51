"""Chats in OpenAI's JSON: what they become, and where a mistake is."""

import json
from typing import Any

import pytest

from lepton_worker.errors import InvalidRequest
from lepton_worker.tasks.chat import Message, Tool, ToolCall
from lepton_worker.tasks.chat_json import calls_as_json, choice_of, messages_of, tools_of
from lepton_worker.tasks.tool_choice import ToolMode

CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a":  1}'}}


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ([], ()),
        ([{"role": "user", "content": "Hi"}], (Message("user", "Hi"),)),
        (
            [{"role": "user", "content": [{"type": "text", "text": t} for t in "ab"]}],
            (Message("user", "ab"),),
        ),
        (
            [{"role": "assistant", "content": None, "tool_calls": [CALL], "refusal": None}],
            (Message("assistant", "", (ToolCall("1", "f", '{"a":  1}'),)),),
        ),
        (
            [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}],
            (Message("assistant", "", (ToolCall("", "f", "{}"),)),),
        ),
        (
            [{"role": "tool", "content": "5", "tool_call_id": "1", "name": "f"}],
            (Message("tool", "5", tool_call_id="1", name="f"),),
        ),
    ],
    ids=str,
)
def test_messages(sent: Any, expected: tuple[Message, ...]) -> None:
    assert messages_of(json.dumps(sent)) == expected


@pytest.mark.parametrize(
    ("sent", "fields"),
    [
        ({}, ["messages"]),
        ([1], ["messages[0]"]),
        ([{"role": 1}], ["messages[0].role"]),
        ([{}, {"role": "user", "content": {"text": "x"}}], ["messages[1].content"]),
        ([{"content": [{"type": "image_url"}]}], ["messages[0].content"]),
        ([{"text": "x", "tool_calls": {}}], ["messages[0].text", "messages[0].tool_calls"]),
        ([{"tool_calls": [{}]}], ["messages[0].tool_calls[0].function"]),
        (
            [{"tool_calls": [{"function": {"name": "f", "arguments": 1}}]}],
            ["messages[0].tool_calls[0].function.arguments"],
        ),
    ],
    ids=str,
)
def test_messages_that_are_none(sent: Any, fields: list[str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        messages_of(json.dumps(sent))
    assert [item.field for item in caught.value.violations] == fields


def test_tools() -> None:
    function = {"name": "f", "description": "does", "parameters": {"type": "object"}}
    sent = [{"type": "function", "function": {**function, "strict": True}}]
    assert tools_of(json.dumps(sent)) == (Tool("f", "does", {"type": "object"}),)
    for wrong, field in (
        ("{", "tools"),
        ('[{"type": "web_search", "function": {"name": "f"}}]', "tools[0].type"),
        ('[{"function": {"name": "f", "parameters": []}}]', "tools[0].function.parameters"),
        ('[{"name": "f", "function": {"name": "f"}}]', "tools[0].name"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            tools_of(wrong)
        assert [item.field for item in caught.value.violations] == [field]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("auto", (ToolMode.AUTO, "")),
        ('"none"', (ToolMode.NONE, "")),
        ("required", (ToolMode.REQUIRED, "")),
        ('{"type": "function", "function": {"name": "f"}}', (ToolMode.REQUIRED, "f")),
    ],
)
def test_choices(sent: str, expected: tuple[ToolMode, str]) -> None:
    assert choice_of(sent) == expected


@pytest.mark.parametrize("sent", ["", "any", "{}", '{"function": "f"}', "[1]"])
def test_choices_that_are_none(sent: str) -> None:
    with pytest.raises(InvalidRequest, match="tool_choice: must be auto, none, required or"):
        choice_of(sent)


def test_calls_are_written_as_they_are_read() -> None:
    calls = (ToolCall("1", "f", '{"a":  1}'), ToolCall("2", "g", "{}", "arguments: wrong"))
    written = json.loads(calls_as_json(calls))
    assert written[0] == CALL
    assert written[1]["mismatch"] == "arguments: wrong"
