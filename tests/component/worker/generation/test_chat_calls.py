"""Chat over the wire: the template, calls of tools, and what is refused."""

from typing import Any

import grpc
import pytest

from lepton.v1 import generation_pb2
from lepton_testing.hosted import Served

pytestmark = pytest.mark.component

Chat = generation_pb2.ChatRequest
Message = generation_pb2.Message
Sampling = generation_pb2.Sampling
Tool = generation_pb2.Tool

CLOCK = Tool(name="clock", description="Tells the time.", parameters='{"type": "object"}')
CALL = '<tool_call>\n{"name": "clock", "arguments": {"zone":  "Zürich"}}\n</tool_call>'


def chat(served: Served, request: Any) -> tuple[str, list[int], Any]:
    """Text, tokens and end of the only answer."""
    events = list(served.generation.Chat(request))
    deltas = [event.delta for event in events[1:-1]]
    ids = [token for delta in deltas for token in delta.token_ids]
    return "".join(delta.text for delta in deltas), ids, events[-1].finish


def saying(text: str, **options: Any) -> Any:
    """A request to which the parrot answers with this text."""
    sampling = Sampling(max_new_tokens=options.pop("max_new_tokens", 300))
    return Chat(messages=[Message(role="user", content=text)], sampling=sampling, **options)


def test_a_chat_is_what_generate_makes_of_the_rendered_prompt(decoder: Any) -> None:
    turns: list[dict[str, Any]] = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "How are you?"},
    ]
    prompt = decoder.tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, return_dict=False
    )
    sampling = Sampling(max_new_tokens=10)
    request = Chat(messages=[Message(**turn) for turn in turns], sampling=sampling)
    text, ids, finish = chat(decoder.served, request)
    assert finish.usage.prompt_tokens == len(prompt)
    tokens = generation_pb2.TokenIds(ids=prompt)
    events = list(
        decoder.served.generation.Generate(
            generation_pb2.GenerateRequest(tokens=tokens, sampling=sampling)
        )
    )
    assert ids == [token for event in events[1:-1] for token in event.delta.token_ids]
    assert text == decoder.tokenizer.decode(ids, skip_special_tokens=True)


def test_calls_come_with_the_end(parrot: Served) -> None:
    text, ids, finish = chat(parrot, saying(f"Let me see.\n{CALL}", tools=[CLOCK]))
    assert text == "Let me see.\n"
    assert finish.reason == generation_pb2.FINISH_REASON_TOOL_CALLS
    assert [(call.name, call.arguments) for call in finish.tool_calls] == [
        ("clock", '{"zone":  "Zürich"}')
    ]
    assert len(finish.tool_calls[0].id) == 9
    assert bytes(ids[:-1]).decode() == f"Let me see.\n{CALL}"


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (saying(CALL), generation_pb2.FINISH_REASON_STOP),
        (saying(CALL.replace("clock", "bell"), tools=[CLOCK]), generation_pb2.FINISH_REASON_STOP),
        (saying("<tool_call>{</tool_call>", tools=[CLOCK]), generation_pb2.FINISH_REASON_STOP),
        (
            saying(CALL, tools=[CLOCK], max_new_tokens=40),
            generation_pb2.FINISH_REASON_LENGTH,
        ),
    ],
    ids=["no tools", "another tool", "malformed", "cut off"],
)
def test_what_is_no_call_is_text(parrot: Served, request_: Any, reason: int) -> None:
    text, _, finish = chat(parrot, request_)
    sent = request_.messages[0].content
    assert text == (sent if reason == generation_pb2.FINISH_REASON_STOP else sent[:40])
    assert finish.reason == reason
    assert not finish.tool_calls


def test_the_last_message_is_continued(decoder: Any) -> None:
    messages = [Message(role="user", content="Hi"), Message(role="assistant", content="The")]
    turns = [{"role": item.role, "content": item.content} for item in messages]
    prompt = decoder.tokenizer.apply_chat_template(
        turns, continue_final_message=True, return_dict=False
    )
    request = Chat(messages=messages, continue_last=True, sampling=Sampling(max_new_tokens=1))
    assert chat(decoder.served, request)[2].usage.prompt_tokens == len(prompt)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (Chat(), "messages"),
        (Chat(messages=[Message(role="robot")]), "messages[0].role"),
        (saying("x" * 1000), "messages: "),
        (saying("x", template_variables={"a": "b"}), "template_variables[a]"),
        (saying("x", tools=[Tool()]), "tools[0].name"),
        (saying("x", continue_last=True), "continue_last"),
    ],
    ids=["none", "role", "too long", "variable", "tool", "continue"],
)
def test_wrong_chats_are_told(parrot: Served, request_: Any, field: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        chat(parrot, request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert field in str(caught.value.details())


def test_a_model_without_a_template_says_what_to_do(echo: Served) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        chat(echo, saying("x"))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "call Generate" in str(caught.value.details())
