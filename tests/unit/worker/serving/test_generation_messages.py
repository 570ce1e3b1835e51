"""Generation on the wire: every field that is out of bounds is named, all of them at once."""

import math
from typing import Any

import pytest

from lepton.v1 import generation_pb2
from lepton_worker.errors import InvalidRequest
from lepton_worker.model import Model
from lepton_worker.request import (
    Constraint,
    Delta,
    Finish,
    FinishReason,
    Timing,
    TokenLogprob,
)
from lepton_worker.serving import generation_messages as messages
from lepton_worker.tasks.chat import Chat, Message, Tool, ToolCall
from lepton_worker.tasks.generate import AskedSampling
from lepton_worker.tasks.reply import Ending

Sampling = generation_pb2.Sampling
Choices = generation_pb2.Choices


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({}, []),
        ({"max_new_tokens": 1, "temperature": 0, "top_p": 1, "top_k": 0}, []),
        ({"min_p": 0, "repetition_penalty": 1, "min_new_tokens": 0, "logprobs": 0, "n": 1}, []),
        ({"presence_penalty": -2, "frequency_penalty": 2, "logprobs": 20, "n": 16}, []),
        ({"max_new_tokens": 0}, ["max_new_tokens"]),
        ({"max_new_tokens": -4}, ["max_new_tokens"]),
        ({"temperature": -0.1}, ["temperature"]),
        ({"temperature": math.nan}, ["temperature"]),
        ({"temperature": math.inf}, ["temperature"]),
        ({"top_p": 0}, ["top_p"]),
        ({"top_p": 1.01}, ["top_p"]),
        ({"top_p": math.nan}, ["top_p"]),
        ({"top_k": -1}, ["top_k"]),
        ({"min_p": 1}, ["min_p"]),
        ({"min_p": -0.1}, ["min_p"]),
        ({"repetition_penalty": 0}, ["repetition_penalty"]),
        ({"repetition_penalty": math.inf}, ["repetition_penalty"]),
        ({"presence_penalty": 2.1}, ["presence_penalty"]),
        ({"frequency_penalty": math.nan}, ["frequency_penalty"]),
        ({"min_new_tokens": -1}, ["min_new_tokens"]),
        ({"min_new_tokens": 4, "max_new_tokens": 3}, ["min_new_tokens"]),
        ({"min_new_tokens": 3, "max_new_tokens": 3}, []),
        ({"logprobs": 21}, ["logprobs"]),
        ({"logprobs": -1}, ["logprobs"]),
        ({"n": 0}, ["n"]),
        ({"n": 17}, ["n"]),
        ({"logit_bias": {1: -100, 2: 100}}, []),
        ({"logit_bias": {1: -101, 2: math.nan, 3: 0}}, ["logit_bias[1]", "logit_bias[2]"]),
        ({"logit_bias": dict.fromkeys(range(1024), 1)}, []),
        ({"logit_bias": dict.fromkeys(range(1025), 1)}, ["logit_bias"]),
        ({"stop": ["x"] * 16}, []),
        ({"stop": ["x"] * 17}, ["stop"]),
        ({"stop": ["x", ""]}, ["stop[1]"]),
        ({"json_schema": '{"type": "object"}'}, []),
        ({"json_schema": " true"}, []),
        ({"json_schema": "{"}, ["json_schema"]),
        ({"json_schema": "[]"}, ["json_schema"]),
        ({"json_object": True}, []),
        ({"json_object": False}, ["json_object"]),
        ({"regex": "a+"}, []),
        ({"regex": ""}, ["regex"]),
        ({"grammar": ""}, ["grammar"]),
        ({"choices": Choices(texts=["a", "b"])}, []),
        ({"choices": Choices()}, ["choices"]),
        ({"choices": Choices(texts=["a", ""])}, ["choices"]),
        ({"top_k": -1, "top_p": 2, "stop": [""], "regex": ""},
         ["top_p", "top_k", "stop[0]", "regex"]),
    ],
)  # fmt: skip
def test_sampling_bounds(fields: dict[str, Any], wrong: list[str]) -> None:
    found = [item.field for item in messages.sampling_violations(Sampling(**fields))]
    assert found == [f"sampling.{name}" for name in wrong]


def test_every_bounded_field_is_in_the_message() -> None:
    known = {field.name for field in Sampling.DESCRIPTOR.fields}
    assert {name for name, _, _ in messages.BOUNDS} <= known


def test_only_what_was_sent_was_asked_for() -> None:
    assert messages.asked_sampling(Sampling()) == AskedSampling()
    sent = Sampling(
        max_new_tokens=3,
        temperature=0,
        top_p=0.5,
        top_k=0,
        min_p=0,
        repetition_penalty=1,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        logit_bias={7: 1.5, 3: -1},
        seed=2**64 - 1,
        min_new_tokens=0,
        stop=["a"],
        ignore_eos=True,
        logprobs=0,
        n=2,
        regex="a+",
    )
    assert messages.asked_sampling(sent) == AskedSampling(
        max_new_tokens=3,
        temperature=0.0,
        top_p=0.5,
        top_k=0,
        min_p=0.0,
        repetition_penalty=1.0,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        bias=((3, -1.0), (7, 1.5)),
        seed=2**64 - 1,
        min_new_tokens=0,
        stop=("a",),
        ignore_eos=True,
        logprobs=0,
        n=2,
        constraint=Constraint("regex", ("a+",)),
    )


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"json_schema": "{}"}, Constraint("json_schema", ("{}",))),
        ({"json_object": True}, Constraint("json_object")),
        ({"choices": Choices(texts=["a", "b"])}, Constraint("choices", ("a", "b"))),
        ({"grammar": "start: A"}, Constraint("grammar", ("start: A",))),
    ],
)
def test_constraints(fields: dict[str, Any], constraint: Constraint) -> None:
    assert messages.asked_sampling(Sampling(**fields)).constraint == constraint


def test_a_chat_as_asked_for() -> None:
    call = generation_pb2.ToolCall(id="1", name="clock", arguments="{}")
    request = generation_pb2.ChatRequest(
        messages=[
            generation_pb2.Message(role="user", content="Hi", name="Ann"),
            generation_pb2.Message(role="assistant", tool_calls=[call]),
            generation_pb2.Message(role="tool", content="noon", tool_call_id="1"),
            generation_pb2.Message(role="assistant", content="It"),
        ],
        tools=[
            generation_pb2.Tool(name="clock", description="Time.", parameters='{"type": "object"}'),
            generation_pb2.Tool(name="bell"),
        ],
        template_variables={"thinking": "false", "date": '"today"'},
        continue_last=True,
    )
    assert messages.asked_chat(request) == Chat(
        messages=(
            Message("user", "Hi", name="Ann"),
            Message("assistant", tool_calls=(ToolCall("1", "clock", "{}"),)),
            Message("tool", "noon", tool_call_id="1"),
            Message("assistant", "It"),
        ),
        tools=(Tool("clock", "Time.", {"type": "object"}), Tool("bell")),
        variables={"thinking": False, "date": "today"},
        continue_last=True,
    )


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"tools": [{"name": ""}]}, ["tools[0].name"]),
        ({"tools": [{"name": "a", "parameters": "[]"}]}, ["tools[0].parameters"]),
        ({"tools": [{"name": "a"}] * 129}, ["tools"]),
        ({"template_variables": {"x": "plain"}}, ["template_variables[x]"]),
        ({"template_variables": {"x": '1, "y": 2'}}, ["template_variables[x]"]),
        ({"template_variables": {"messages": "[]"}}, ["template_variables[messages]"]),
        ({"messages": [{"role": "x"}]}, ["messages[0].role"]),
    ],
)
def test_wrong_chats(fields: dict[str, Any], wrong: list[str]) -> None:
    request = generation_pb2.ChatRequest(**{"messages": [{"role": "user"}], **fields})
    with pytest.raises(InvalidRequest) as caught:
        messages.asked_chat(request)
    assert [item.field for item in caught.value.violations] == wrong


def test_the_end_of_a_reply_on_the_wire() -> None:
    value = Finish(FinishReason.TOOL_CALLS, 3, 2, Timing(0.5, 1.25, 2.0, 4), cached_tokens=1)
    ending = Ending(value, (ToolCall("1", "clock", "{}"),))
    message = messages.finish_event(ending, 5).finish
    assert message.reason == generation_pb2.FINISH_REASON_TOOL_CALLS
    usage = message.usage
    assert (usage.prompt_tokens, usage.output_tokens, usage.cached_tokens) == (3, 2, 1)
    assert message.timing.first.ToMilliseconds() == 1250
    assert message.timing.batch_size == 4
    assert message.choice == 5
    assert message.tool_calls == [generation_pb2.ToolCall(id="1", name="clock", arguments="{}")]
    assert set(messages.REASONS) == set(FinishReason)


def test_new_tokens_on_the_wire(echo_model: Model) -> None:
    texts = messages.TokenTexts(echo_model.tokenizer)
    probable = TokenLogprob(65, -0.5, ((66, -0.25), (65, -0.5)))
    message = messages.delta_event(Delta("A", (65,), (probable,)), 2, texts).delta
    assert (message.text, list(message.token_ids), message.choice) == ("A", [65], 2)
    assert message.logprobs == [
        generation_pb2.TokenLogprob(
            token_id=65,
            logprob=-0.5,
            text="A",
            top=[
                generation_pb2.TopToken(token_id=66, logprob=-0.25, text="B"),
                generation_pb2.TopToken(token_id=65, logprob=-0.5, text="A"),
            ],
        )
    ]
