"""Chats as text, by templates in the manner of three families; and what is refused."""

import dataclasses
import datetime
from typing import Any

import pytest

from lepton_testing.templates import CHATML, LLAMA, MISTRAL
from lepton_worker.errors import ContextLengthExceeded, InvalidRequest, TaskNotServed
from lepton_worker.model import Model
from lepton_worker.request import Tokens
from lepton_worker.tasks.chat import (
    Chat,
    Message,
    Tool,
    ToolCall,
    chat_tokens,
    render,
    violations,
)

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
CLOCK = Tool("clock", "Tells the time.", {"type": "object", "properties": {}})
HELLO = Message("user", "Hello")
CALL = ToolCall("abcdefghi", "clock", '{"zone": "Zürich"}')


def with_template(model: Model, template: str) -> Model:
    return dataclasses.replace(model, chat_template=template, special_tokens=SPECIAL)


def rendered(model: Model, template: str, *messages: Message, **options: Any) -> str:
    return render(with_template(model, template), Chat(messages, **options))


def test_chatml(echo_model: Model) -> None:
    text = rendered(echo_model, CHATML, Message("system", "Be kind."), HELLO)
    assert text == (
        "<|im_start|>system\nBe kind.<|im_end|>\n"
        "<|im_start|>user\nHello<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_tools_and_calls_have_the_shape_that_templates_expect(echo_model: Model) -> None:
    asked = Message("assistant", "", tool_calls=(CALL,))
    told = Message("tool", "noon", tool_call_id="abcdefghi")
    text = rendered(echo_model, CHATML, HELLO, asked, told, tools=(CLOCK,))
    assert text == (
        "<|im_start|>system\nTools:\n"
        '{"type": "function", "function": {"name": "clock", "description": "Tells the time.", '
        '"parameters": {"type": "object", "properties": {}}}}\n'
        'Call one as <tool_call>{"name": ..., "arguments": ...}</tool_call><|im_end|>\n'
        "<|im_start|>user\nHello<|im_end|>\n"
        '<|im_start|>assistant\n\n<tool_call>\n{"name": "clock", "arguments": {"zone": "Zürich"}}\n'
        "</tool_call><|im_end|>\n"
        "<|im_start|>tool\nnoon<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_special_tokens_and_the_date_are_the_templates_to_use(echo_model: Model) -> None:
    text = rendered(echo_model, LLAMA, Message("user", "  Hello  "))
    today = datetime.datetime.now().strftime("%d %b %Y")
    assert text.startswith(f"<s><|start_header_id|>system<|end_header_id|>\n\nToday: {today}\n\n")
    assert "user<|end_header_id|>\n\nHello<|eot_id|>" in text


def test_mistral_numbers_calls_and_results(echo_model: Model) -> None:
    asked = Message("assistant", tool_calls=(CALL, CALL))
    told = Message("tool", "noon", tool_call_id="abcdefghi")
    call = '{"name": "clock", "arguments": {"zone": "Zürich"}, "id": "abcdefghi"}'
    assert rendered(echo_model, MISTRAL, HELLO, asked, told) == (
        f"<s>[INST] Hello[/INST][TOOL_CALLS] [{call}, {call}]</s>"
        '[TOOL_RESULTS] {"content": "noon", "id": "abcdefghi"}[/TOOL_RESULTS]'
    )


def test_variables_reach_the_template_and_go_before_special_tokens(echo_model: Model) -> None:
    text = rendered(echo_model, CHATML, HELLO, variables={"enable_thinking": False})
    assert text.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert rendered(echo_model, MISTRAL, HELLO, variables={"bos_token": "<b>"})[:3] == "<b>"


@pytest.mark.parametrize(
    ("template", "content", "end"),
    [
        (CHATML, "Well, ", "<|im_start|>assistant\nWell, "),
        (CHATML, "", "<|im_start|>assistant\n"),
        (LLAMA, "Well, ", "assistant<|end_header_id|>\n\nWell,"),
        (MISTRAL, "Well, ", "[/INST] Well, "),
    ],
)
def test_a_message_is_continued_where_it_ends(
    echo_model: Model, template: str, content: str, end: str
) -> None:
    messages = (HELLO, Message("assistant", content))
    text = rendered(echo_model, template, *messages, continue_last=True)
    assert text.endswith(end)


def test_a_template_that_leaves_the_last_message_out_cannot_continue_it(
    echo_model: Model,
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        rendered(echo_model, "nothing", Message("assistant", "x"), continue_last=True)
    assert caught.value.violations[0].field == "continue_last"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ raise_exception('take turns') }}", "refuses them: take turns"),
        ("{{ messages[0].nothing.more }}", "refuses them: .*nothing"),
        ("{{ 1 / 0 }}", "cannot render them: ZeroDivisionError"),
        ("{{ messages[0].content + 1 }}", "cannot render them: TypeError"),
        # What a template must not do.
        ("{{ ''.__class__.__mro__ }}", "refuses them: .*unsafe"),
        ("{{ messages.append(1) }}", "refuses them: .*safe"),
        ("{% set x = namespace(__class__=1) %}", "refuses them: .*attribute"),
        ("{% set x = namespace() %}{% set x._y = 1 %}", "refuses them: .*attribute"),
    ],
)
def test_what_a_template_refuses_is_told_of_the_messages(
    echo_model: Model, template: str, words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words) as caught:
        rendered(echo_model, template, HELLO)
    assert [item.field for item in caught.value.violations] == ["messages"]


@pytest.mark.parametrize(("template", "words"), [("", "no chat template"), ("{% if %}", "be read")])
def test_a_model_without_a_template_does_not_chat(
    echo_model: Model, template: str, words: str
) -> None:
    with pytest.raises(TaskNotServed, match=f"{words}.*call Generate"):
        rendered(echo_model, template, HELLO)


def test_lines_of_statements_leave_nothing_behind(echo_model: Model) -> None:
    template = "a\n  {% if messages %}\nb\n  {% endif %}\n  {{ messages[0].role }}\n"
    assert rendered(echo_model, template, HELLO) == "a\nb\n  user"


def test_json_is_not_escaped_for_html(echo_model: Model) -> None:
    text = "{{ messages[0].content | tojson(separators=(',', ':')) }}"
    assert rendered(echo_model, text, Message("user", "<a> & 'b' é")) == "\"<a> & 'b' é\""


@pytest.mark.parametrize(
    ("chat", "fields"),
    [
        (Chat(()), ["messages"]),
        (Chat((HELLO,)), []),
        (Chat((Message("robot", "x"), Message("", "y"))), ["messages[0].role", "messages[1].role"]),
        (Chat((Message("user", tool_calls=(CALL,)),)), ["messages[0].tool_calls"]),
        (
            Chat((Message("assistant", tool_calls=(CALL, ToolCall("", "clock", "[1]"))),)),
            ["messages[0].tool_calls[1].arguments"],
        ),
        (
            Chat((Message("assistant", tool_calls=(ToolCall("", "clock", '{"x": NaN}'),)),)),
            ["messages[0].tool_calls[0].arguments"],
        ),
        (Chat((HELLO,), variables={"tools": [], "x": 1}), ["template_variables[tools]"]),
        (Chat((HELLO,), continue_last=True), ["continue_last"]),
        (Chat((HELLO, Message("assistant")), continue_last=True), []),
    ],
)
def test_wrong_chats_name_every_wrong_field(chat: Chat, fields: list[str]) -> None:
    assert [item.field for item in violations(chat)] == fields


def test_a_chat_becomes_tokens_without_further_special_ones(echo_model: Model) -> None:
    model = with_template(echo_model, "{{ bos_token }}{{ messages[0].content }}")
    assert chat_tokens(model, Chat((HELLO,)), "messages") == Tokens(tuple(b"<s>Hello"))


@pytest.mark.parametrize("length", [65, 100_000])
def test_a_chat_that_is_too_long_is_told_with_the_limit(echo_model: Model, length: int) -> None:
    model = with_template(echo_model, "{{ messages[0].content }}")
    with pytest.raises(ContextLengthExceeded) as caught:
        chat_tokens(model, Chat((Message("user", "x" * length),)), "messages")
    assert caught.value.violations[0].field == "messages"
    assert caught.value.metadata["max_length"] == "64"
