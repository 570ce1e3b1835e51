"""What models that generate offer over the protocol: chats, constraints, log probabilities, several
answers; held against the answers of lepton.v1."""

import json
import math
from typing import Any

import grpc
import numpy as np
import pytest

from lepton.v1 import generation_pb2 as pb
from lepton_testing.hosted import Served
from lepton_testing.inference import infer, request, stream
from lepton_worker.serving.inference import messages
from lepton_worker.serving.inference.tensors import encoded, from_raw

pytestmark = pytest.mark.component

TURNS = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
CHAT = json.dumps(TURNS)
TOOL = {
    "type": "function",
    "function": {
        "name": "clock",
        "parameters": {
            "type": "object",
            "properties": {"zone": {"enum": ["utc", "cet"]}},
            "required": ["zone"],
            "additionalProperties": False,
        },
    },
}
HOT: dict[str, Any] = {"temperature": 1.0, "seed": 11}


@pytest.fixture
def one(served: dict[str, Served]) -> Served:
    return served["generate"]


def values(response: Any) -> dict[str, Any]:
    """The outputs by name."""
    found = {}
    for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        read = from_raw(output.datatype, int(np.prod(output.shape)), raw)
        told: Any = [item.decode() for item in read] if isinstance(read, list) else read.tolist()
        found[output.name] = told
    return found


def asked(served: Served, texts: list[str], name: str = "text", **parameters: Any) -> Any:
    """The outputs of ModelInfer."""
    sent = request(texts=texts, name=name, parameters={"max_tokens": 8, **parameters})
    return values(infer(served.channel, sent))


def by_lepton(served: Served, text: str, sampling: Any) -> tuple[list[str], list[list[Any]]]:
    """Texts and log probabilities of a call of Generate, by answer."""
    count = sampling.n or 1
    found, items = [""] * count, [[] for _ in range(count)]  # type: list[str], list[list[Any]]
    for event in served.generation.Generate(pb.GenerateRequest(text=text, sampling=sampling)):
        found[event.delta.choice] += event.delta.text
        items[event.delta.choice] += event.delta.logprobs
    return found, items


def test_several_answers_with_their_log_probabilities(one: Served) -> None:
    found = asked(
        one,
        ["One", "Two"],
        n=2,
        logprobs=2,
        return_logprobs=True,
        return_cumulative_logprob=True,
        return_num_input_tokens=True,
        return_num_output_tokens=True,
        **HOT,
    )
    sampling = pb.Sampling(max_new_tokens=8, n=2, logprobs=2, **HOT)
    answers = [by_lepton(one, text, sampling) for text in ("One", "Two")]
    assert found["text_output"] == [text for texts, _ in answers for text in texts]
    assert found["num_output_tokens"] == [8] * 4
    counts = found["num_input_tokens"]
    assert counts[0] == counts[1] > 0
    assert counts[2] == counts[3] > 0
    items = [item for _, lists in answers for item in lists]
    for row, expected in enumerate(items):
        total = math.fsum(item.logprob for item in expected)
        assert found["cumulative_logprob"][row] == pytest.approx(total, abs=1e-3)
        told = json.loads(found["logprobs"][row])
        for by_token, item in zip(told, expected, strict=True):
            chosen = by_token[str(item.token_id)]
            assert chosen["logprob"] == pytest.approx(item.logprob, abs=1e-4)
            assert chosen["decoded_token"] == item.text
            assert {top.token_id for top in item.top} <= {int(token) for token in by_token}
            assert by_token[str(item.top[0].token_id)]["rank"] == 1


@pytest.mark.parametrize(
    ("parameters", "fits"),
    [
        ({"regex": "[ab]{3}"}, lambda text: len(text) == 3 and set(text) <= set("ab")),
        ({"choices": '["yes", "no"]'}, lambda text: text in ("yes", "no")),
        ({"json_schema": '{"enum": [1, 2]}'}, lambda text: json.loads(text) in (1, 2)),
        ({"guided_decoding": '{"choice": ["x"]}'}, lambda text: text == "x"),
        ({"sampling_parameters": '{"grammar": "start: \\"ab\\""}'}, lambda text: text == "ab"),
    ],
    ids=str,
)
def test_answers_keep_to_constraints(one: Served, parameters: Any, fits: Any) -> None:
    found = asked(one, ["So"], **parameters, **HOT)
    assert fits(found["text_output"][0])
    assert found["finish_reason"] == ["stop"]


def test_a_chat_is_that_of_lepton(one: Served) -> None:
    found = asked(one, [CHAT, CHAT], name="messages", chat_template_kwargs='{"x": 1}')
    sampling = pb.Sampling(max_new_tokens=8)
    message = pb.Message(role="user", content="Hi")
    events = list(one.generation.Chat(pb.ChatRequest(messages=[message], sampling=sampling)))
    expected = "".join(event.delta.text for event in events)
    assert found == {"text_output": [expected] * 2, "finish_reason": ["length"] * 2}


@pytest.mark.parametrize("growing", [False, True], ids=["whole", "stream"])
def test_tools_are_called_as_asked(one: Served, growing: bool) -> None:
    choice = json.dumps({"type": "function", "function": {"name": "clock"}})
    parameters = {"tools": json.dumps([TOOL]), "tool_choice": choice, "max_tokens": 200, **HOT}
    sent = request(texts=[CHAT], name="messages", parameters=parameters)
    if growing:
        parts = [values(item.infer_response) for item in stream(one.channel, [sent])]
        assert all(part["tool_calls"] == [""] for part in parts[:-1])
        found = parts[-1]
    else:
        found = values(infer(one.channel, sent))
    assert (found["text_output"], found["finish_reason"]) == ([""], ["tool_calls"])
    (call,) = json.loads(found["tool_calls"][0])
    assert call["function"]["name"] == "clock"
    assert json.loads(call["function"]["arguments"]).keys() == {"zone"}


def test_parts_add_up(one: Served) -> None:
    names = ["text_output", "finish_reason", "logprobs", "cumulative_logprob", "num_output_tokens"]
    sent = request(texts=["One"], parameters={"max_tokens": 8, "n": 2, **HOT})
    for name in names:
        sent.outputs.add(name=name)
    whole = values(infer(one.channel, sent))
    assert list(whole) == names
    parts = [values(item.infer_response) for item in stream(one.channel, [sent])]
    for row in range(2):
        assert "".join(part["text_output"][row] for part in parts) == whole["text_output"][row]
        counts = [part["num_output_tokens"][row] for part in parts]
        assert sum(counts) == whole["num_output_tokens"][row] == 8
        told = [token for part in parts for token in json.loads(part["logprobs"][row])]
        assert [list(item) for item in told] == [
            list(item) for item in json.loads(whole["logprobs"][row])
        ]
    assert parts[-1]["finish_reason"] == ["length", "length"]
    assert parts[-1]["cumulative_logprob"] == pytest.approx(whole["cumulative_logprob"], abs=1e-3)


def test_options_are_inputs_too(one: Served) -> None:
    sent = request(texts=["One"], name="text_input")
    flags = {"stream": False, "exclude_input_in_output": False, "return_finish_reason": False}
    flags["return_num_output_tokens"] = True
    for name, flag in flags.items():
        sent.inputs.add(name=name, datatype="BOOL", shape=[1])
        sent.raw_input_contents.append(bytes([flag]))
    sent.inputs.add(name="sampling_parameters", datatype="BYTES", shape=[1])
    sent.raw_input_contents.append(encoded("BYTES", [b'{"max_tokens": "5", "temperature": 0}']))
    (part,) = [item.infer_response for item in stream(one.channel, [sent])]
    found = values(part)
    assert part.parameters["triton_final_response"].bool_param
    assert list(found) == ["text_output", "num_output_tokens"]
    assert found["num_output_tokens"] == [5]
    assert found["text_output"] == ["One" + asked(one, ["One"], max_tokens=5)["text_output"][0]]


def test_clients_of_others_call_tools(triton: Any, kserve: Any) -> None:
    plain = triton["unary"]["calling"]["plain"]["outputs"]
    names = ["text_output", "finish_reason", "tool_calls", "cumulative_logprob"]
    assert list(plain) == [*names, "num_output_tokens"]
    assert plain["finish_reason"]["values"] == ["tool_calls"]
    (call,) = json.loads(plain["tool_calls"]["values"][0])
    assert json.loads(call["function"]["arguments"]) == {"zone": "utc"}
    same = ("text_output", "finish_reason", "num_output_tokens")
    typed = {form: kserve["calling"][form]["outputs"] for form in ("raw", "typed")}
    parts = [part for part in triton["aio"]["calling"]["stream"] if isinstance(part, dict)]
    last = [part["outputs"] for part in parts if part["parameters"]["triton_final_response"]]
    assert len(last) == 2
    for found in (*typed.values(), triton["unary"]["calling"]["column"]["outputs"]):
        assert [found[name]["values"] for name in same] == [plain[name]["values"] for name in same]
    for part in last:
        (told,) = json.loads(part["tool_calls"]["values"][0])
        assert told["function"] == call["function"]


def inputs(**sent: tuple[str, list[Any]]) -> Any:
    """A request with these inputs, each with its datatype."""
    made = messages.InferRequest()
    for name, (kind, items) in sent.items():
        made.inputs.add(name=name, datatype=kind, shape=[len(items)])
        data = items if kind == "BYTES" else np.array(items, "?")
        made.raw_input_contents.append(encoded(kind, data))
    return made


def chat(text: str = CHAT, **parameters: Any) -> Any:
    return request(texts=[text], name="messages", parameters=parameters)


WRONG = [
    (chat("{"), "messages[0]: must be a JSON list of messages"),
    (chat("[]"), "messages[0]: must have at least one message"),
    (chat('[{"role": "bot", "content": "x"}]'), "messages[0][0].role: must be one of system, "),
    (chat('[{"role": "user", "content": 5}]'), "messages[0][0].content: must be a text, or a "),
    (chat('[{"role": "user", "text": "x"}]'), "messages[0][0].text: is not known here; there "),
    (chat(tools="{}"), "parameters[tools]: must be a JSON list of tools"),
    (chat(tools='[{"type": "web"}]'), "parameters[tools][0].type: must be function"),
    (chat(tool_choice="sometimes"), "parameters[tool_choice]: must be auto, none, required or {"),
    (chat(tool_choice="required"), "parameters[tools]: must have at least one tool"),
    (
        chat(tools=json.dumps([TOOL]), tool_choice='{"function": {"name": "bell"}}'),
        "parameters[tool_choice].name: must be one of tools: clock",
    ),
    (chat(chat_template_kwargs="x"), "parameters[chat_template_kwargs]: must be a JSON object"),
    (chat(exclude_input_in_output=False), "parameters[exclude_input_in_output]: must be true"),
    (request(parameters={"tools": "[]"}), "parameters[tools]: goes with the input messages only"),
    (request(parameters={"stream": True}), "parameters[stream]: must be false, or left out"),
    (request(parameters={"n": 17}), "parameters[n]: must be between 1 and 16"),
    (request(texts=["x"] * 30, parameters={"n": 9}), "parameters[n]: 9 answers to 30 prompts"),
    (request(parameters={"json_schema": '{"if": {}}'}), "parameters[json_schema]: "),
    (
        request(parameters={"sampling_parameters": '{"max_tokenz": 4}'}),
        "parameters[sampling_parameters].max_tokenz: is no parameter of a model for generate; "
        "did you mean max_tokens?",
    ),
    (
        inputs(text=("BYTES", [b"x"]), stream=("BOOL", [True, True])),
        "stream: must have one element, not 2",
    ),
    (
        inputs(text=("BYTES", [b"x"]), sampling_parameters=("BYTES", [b"{"])),
        "sampling_parameters: must be a JSON object",
    ),
    (
        inputs(text=("BYTES", [b"x"]), messages=("BYTES", [b"[]"])),
        "inputs: must have one of text, messages, input_ids, and has text and messages",
    ),
]


@pytest.mark.parametrize(("sent", "said"), WRONG, ids=range(len(WRONG)))
def test_mistakes_name_field_and_remedy(one: Served, sent: Any, said: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        infer(one.channel, sent)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert str(caught.value.details()).startswith(said)


def test_a_stream_has_no_prompt_in_its_parts(one: Served) -> None:
    sent = request(parameters={"exclude_input_in_output": False})
    (told,) = stream(one.channel, [sent])
    assert told.error_message.startswith("parameters[exclude_input_in_output]: must be true")


def test_a_model_without_a_template_has_no_messages(echo: Served) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        infer(echo.channel, chat())
    said = str(caught.value.details())
    assert said.startswith("inputs[0].name: 'messages': the model has no such input; inputs are ")
