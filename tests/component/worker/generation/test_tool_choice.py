"""Calls that are asked for: a model with random weights makes them, and keeps to their schemas."""

import importlib
import json
from pathlib import Path
from typing import Any

import grpc
import pytest

from lepton.v1 import generation_pb2 as pb
from lepton_testing.hosted import Host, Served
from lepton_worker.samples import write_sample

pytestmark = pytest.mark.component

jsonschema: Any = importlib.import_module("jsonschema")

SCHEMA = {
    "type": "object",
    "properties": {"zone": {"enum": ["utc", "cet"]}},
    "required": ["zone"],
    "additionalProperties": False,
}
CLOCK = pb.Tool(name="clock", parameters=json.dumps(SCHEMA))
BELL = pb.Tool(name="bell")
REQUIRED = pb.ToolChoice(mode=pb.TOOL_MODE_REQUIRED)
NONE = pb.ToolChoice(mode=pb.TOOL_MODE_NONE)
CALL = '<tool_call>{"name": "clock", "arguments": {"zone": 1}}</tool_call>'
MARKS = {
    "xml": "<function=",
    "tags": "<tool_call>",
    "named": "[ARGS]",
    "list": "[TOOL_CALLS]",
    "bare": "",
}
UNKNOWN: Any = 9
WRONG = ["arguments.zone: must be one of 2 values of enum"] * 2


def asking(text: str = "Hi", **options: Any) -> Any:
    sampling = pb.Sampling(max_new_tokens=options.pop("max_new_tokens", 200))
    sampling.MergeFrom(options.pop("sampling", pb.Sampling()))
    options.setdefault("tools", [CLOCK, BELL])
    return pb.ChatRequest(
        messages=[pb.Message(role="user", content=text)], sampling=sampling, **options
    )


def told(served: Served, request: Any) -> tuple[list[str], list[Any]]:
    """Texts and ends of the answers, by choice."""
    events = list(served.generation.Chat(request))
    ends = sorted((e.finish for e in events if e.HasField("finish")), key=lambda end: end.choice)
    texts = [
        "".join(e.delta.text for e in events if e.HasField("delta") and e.delta.choice == at)
        for at in range(len(ends))
    ]
    return texts, ends


@pytest.fixture(scope="module", params=MARKS)
def caller(request: pytest.FixtureRequest, host: Host, tmp_path_factory: Any) -> Served:
    """A decoder that writes calls in one of the ways."""
    folder = write_sample(tmp_path_factory.mktemp(request.param), "llama")
    shown = f"{{{{ messages[-1].content }}}}{{# {MARKS[request.param]} #}}"
    (folder / "chat_template.jinja").write_text(shown)
    return host.serve(backend="native", source=str(folder), model_name=request.param)


def check_calls(finish: Any, names: set[str]) -> None:
    assert finish.reason == pb.FINISH_REASON_TOOL_CALLS
    assert {call.name for call in finish.tool_calls} <= names
    for call in finish.tool_calls:
        assert call.mismatch == ""
        if call.name == "clock":
            jsonschema.validate(json.loads(call.arguments), SCHEMA)
        else:
            assert json.loads(call.arguments) == {}


def test_a_call_that_is_required_is_made(caller: Served) -> None:
    hot = pb.Sampling(temperature=1.0, seed=3, n=4)
    request = asking(tool_choice=REQUIRED, parallel_tool_calls=False, sampling=hot)
    texts, ends = told(caller, request)
    assert texts == [""] * 4
    for end in ends:
        check_calls(end, {"clock", "bell"})
        assert len(end.tool_calls) == 1


def test_a_tool_that_is_named_is_called_once(caller: Served) -> None:
    hot = pb.Sampling(temperature=1.0, seed=7, n=3)
    texts, ends = told(caller, asking(tool_choice=pb.ToolChoice(name="clock"), sampling=hot))
    assert texts == [""] * 3
    for end in ends:
        check_calls(end, {"clock"})
        assert len(end.tool_calls) == 1


def test_a_call_that_was_cut_off_is_text(caller: Served) -> None:
    texts, (end,) = told(caller, asking(tool_choice=REQUIRED, max_new_tokens=5))
    assert end.reason == pb.FINISH_REASON_LENGTH
    assert not end.tool_calls
    assert texts[0].startswith(("<tool", "[TOOL", '{"'))


def test_who_cannot_constrain_says_so(chat_folder: Path, host: Host) -> None:
    served = host.serve(backend="transformers", source=str(chat_folder), model_name="stock")
    with pytest.raises(grpc.RpcError) as caught:
        told(served, asking(tool_choice=REQUIRED, max_new_tokens=5))
    assert str(caught.value.details()) == (
        "tool_choice: this model is served without constraints; auto lets the model decide"
    )


def test_none_calls_nothing(parrot: Served) -> None:
    texts, (end,) = told(parrot, asking(CALL, tool_choice=NONE))
    assert (texts, end.reason) == ([CALL], pb.FINISH_REASON_STOP)


def test_calls_of_a_free_answer_say_where_they_do_not_fit(parrot: Served) -> None:
    before = parrot.sample("lepton_texts_finished_total", reason="tool_calls")
    texts, (end,) = told(parrot, asking(f"So: {CALL}{CALL}"))
    assert texts == ["So: "]
    assert [call.mismatch for call in end.tool_calls] == WRONG
    texts, (end,) = told(parrot, asking(f"{CALL}{CALL}", parallel_tool_calls=False))
    assert (texts, len(end.tool_calls)) == ([""], 1)
    assert parrot.sample("lepton_texts_finished_total", reason="tool_calls") == before + 2


BAD = pb.Tool(name="bad", parameters='{"properties": {"x": {"type": "objct"}}}')
ODD = pb.Tool(name="odd", parameters='{"if": {"required": ["x"]}}')


@pytest.mark.parametrize(
    ("request_", "field", "remedy"),
    [
        (asking(tool_choice=REQUIRED, tools=[]), "tools", "at least one tool"),
        (asking(tool_choice=pb.ToolChoice(name="x")), "tool_choice.name", "one of tools: clock, b"),
        (asking(tool_choice=pb.ToolChoice(mode=UNKNOWN)), "tool_choice.mode", "no value 9"),
        (
            asking(tool_choice=pb.ToolChoice(mode=pb.TOOL_MODE_AUTO, name="bell")),
            "tool_choice.mode",
            "required or left out",
        ),
        (asking(tool_choice=REQUIRED, tools=[CLOCK, BAD]), "tools[1].parameters", "objct"),
        (asking(tool_choice=REQUIRED, tools=[ODD]), "tools[0].parameters", "Unimplemented"),
        (asking(tools=[CLOCK, CLOCK]), "tools[1].name", "tools[0]"),
        (
            asking(tools=[pb.Tool(name="x", parameters='{"type": "string"}')]),
            "tools[0].parameters",
            "must describe an object",
        ),
        (
            asking(tool_choice=REQUIRED, sampling=pb.Sampling(regex="a")),
            "tool_choice",
            "beside sampling.regex: send one of them",
        ),
    ],
    ids=["no tools", "name", "mode", "auto", "schema", "keyword", "twice", "string", "constraint"],
)
def test_what_cannot_be_asked_for_is_told(
    parrot: Served, request_: Any, field: str, remedy: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        told(parrot, request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    said = str(caught.value.details())
    assert said.startswith(f"{field}: ")
    assert remedy in said
