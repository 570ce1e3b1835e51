"""Chats against `apply_chat_template` of transformers: the same text, the same tokens."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lepton_testing.templates import TEMPLATES
from lepton_worker.backends.base import LoadOrder
from lepton_worker.backends.echo import EchoBackend
from lepton_worker.backends.transformers.tokenizer import FastTokenizer, load_tokenizer
from lepton_worker.model import Model
from lepton_worker.request import (
    Delta,
    Event,
    Finish,
    FinishReason,
    GenerateJob,
    Sampling,
    Task,
    Timing,
    Tokens,
)
from lepton_worker.samples.vocabularies import byte_fallback, byte_level
from lepton_worker.tasks.chat import Chat, Message, Tool, ToolCall, chat_tokens, render
from lepton_worker.tasks.reply import Reply, markers_of
from lepton_worker.tasks.tools import CallReader, format_of

pytestmark = pytest.mark.component

USER = Message("user", "The harbour was  quiet. <b>é</b> 今天\n")
SYSTEM = Message("system", " Be kind. ")
REPLY = Message("assistant", "It was, and the boats lay still. ")
CALL = ToolCall("abcdefghi", "weather", '{"place": "Zürich", "days": [1, 2], "exact": true}')
CALLING = Message("assistant", "", tool_calls=(CALL,))
TOLD = Message("tool", '{"sky": "clear"}', tool_call_id="abcdefghi", name="weather")
WEATHER = Tool(
    "weather",
    "Tells the weather of a place.",
    {
        "type": "object",
        "properties": {"place": {"type": "string"}, "days": {"type": "array"}},
        "required": ["place"],
    },
)

CHATS: dict[str, Chat] = {
    "one": Chat((USER,)),
    "turns": Chat((USER, REPLY, USER)),
    "system": Chat((SYSTEM, USER, REPLY, USER)),
    "tools": Chat((USER,), (WEATHER, WEATHER)),
    "calls": Chat((USER, CALLING, TOLD), (WEATHER,)),
    "answered": Chat((USER, CALLING, TOLD, REPLY, USER), (WEATHER,)),
    "variables": Chat((USER,), variables={"enable_thinking": False, "date_string": "today"}),
    "continued": Chat((USER, REPLY), continue_last=True),
    "continued empty": Chat((USER, Message("assistant", "")), continue_last=True),
    # Control tokens in a message are control tokens, as in transformers.
    "control": Chat((Message("user", "a<|end|>b</s>c<|begin|>"),)),
}


def as_transformers(chat: Chat) -> dict[str, Any]:
    """The chat as a caller of transformers would write it."""
    messages = []
    for message in chat.messages:
        made: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            arguments = {"place": "Zürich", "days": [1, 2], "exact": True}
            function = {"name": "weather", "arguments": arguments}
            made["tool_calls"] = [{"id": "abcdefghi", "type": "function", "function": function}]
        if message.tool_call_id:
            made |= {"tool_call_id": message.tool_call_id, "name": message.name}
        messages.append(made)
    tools = [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
            },
        }
        for tool in chat.tools
    ]
    return {
        "conversation": messages,
        "tools": tools or None,
        "add_generation_prompt": not chat.continue_last,
        "continue_final_message": chat.continue_last,
        **chat.variables,
    }


@pytest.fixture(scope="module", params=[byte_level, byte_fallback], ids=["level", "fallback"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Model]:
    """A tokenizer of transformers, and a model that has the same."""
    make: Callable[..., Any] = request.param
    theirs = make("<|begin|>") if make is byte_level else make()
    folder = tmp_path_factory.mktemp("tokenizer")
    theirs.save_pretrained(folder)
    model = EchoBackend().load(LoadOrder(Path(), Task.GENERATE, max_length=4096))
    special = {name: str(token) for name, token in theirs.special_tokens_map.items()}
    ours = dataclasses.replace(
        model, tokenizer=load_tokenizer(folder), vocabulary=len(theirs), special_tokens=special
    )
    return theirs, ours


@pytest.mark.parametrize("chat", CHATS.values(), ids=CHATS)
@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_the_same_text_and_tokens(pair: tuple[Any, Model], template: str, chat: Chat) -> None:
    theirs, model = pair
    theirs.chat_template = template
    model = dataclasses.replace(model, chat_template=template)
    options = as_transformers(chat)
    expected = theirs.apply_chat_template(**options, tokenize=False)
    assert render(model, chat) == expected
    assert len(expected) > len("<s>[INST] ")
    ids = theirs.apply_chat_template(**options, tokenize=True, return_dict=False)
    assert list(chat_tokens(model, chat, "messages").ids) == ids


def test_the_begin_token_is_there_once(pair: tuple[Any, Model]) -> None:
    theirs, model = pair
    for template in (TEMPLATES["llama"], TEMPLATES["mistral"]):
        rendered = dataclasses.replace(model, chat_template=template)
        ids = chat_tokens(rendered, Chat((USER,)), "messages").ids
        assert ids.count(theirs.bos_token_id) == 1


def test_marks_that_are_special_tokens_are_seen_and_those_that_are_not_are_left_alone() -> None:
    theirs = byte_fallback()
    theirs.add_special_tokens({"additional_special_tokens": ["[TOOL_CALLS]"]})
    theirs.add_tokens(["<tool_call>"])
    model = EchoBackend().load(LoadOrder(Path(), Task.GENERATE, max_length=4096))
    tokenizer = FastTokenizer(theirs.backend_tokenizer, False)
    model = dataclasses.replace(model, tokenizer=tokenizer, vocabulary=len(theirs))
    lists, tags = format_of("[TOOL_CALLS]"), format_of("<tool_call>")
    mark = theirs.convert_tokens_to_ids("[TOOL_CALLS]")
    assert markers_of(model, lists) == {mark: "[TOOL_CALLS]"}
    # Decoding shows it anyway.
    assert markers_of(model, tags) == {}
    text = 'Well: [TOOL_CALLS] [{"name": "clock", "arguments": {"zone": "Zürich"}}]'
    ids = theirs(text, add_special_tokens=False).input_ids
    assert mark in ids
    job = GenerateJob(Tokens((1,)), Sampling(99, ends=frozenset([theirs.eos_token_id])))
    reply = Reply(job, model, CallReader(lists, ["clock"]), markers_of(model, lists), lambda: "x")
    now = Timing(0, 0, 0, 0)
    finish = Finish(FinishReason.STOP, 1, len(ids), now)
    events: list[Event] = [*(Delta("", (token,)) for token in ids), finish]
    delta, end = reply.take(events, lambda: now)
    assert delta.text.strip() == "Well:"
    assert end is not None
    assert end.calls == (ToolCall("x", "clock", '{"zone": "Zürich"}'),)
    assert end.finish.reason is FinishReason.TOOL_CALLS
