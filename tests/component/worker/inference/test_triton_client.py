"""tritonclient, as it is published, against a worker of each task.

What it reads from the tensors is held against the answers of lepton.v1 to the same texts.
"""

import json
from typing import Any

import numpy as np
import pytest

from lepton.v1 import generation_pb2, text_pb2
from lepton_testing.hosted import Served

pytestmark = pytest.mark.component

CLOSE = 1e-5
TASKS = ("classify", "embed", "tag", "answer", "generate")
NUMBERS = ("score", "probabilities", "logits", "embedding")
Answers = dict[str, Any]


def by_lepton(served: dict[str, Served], task: str, inputs: dict[str, list[str]]) -> Answers:
    """The outputs that a task has to have, from lepton.v1."""
    one = served[task]
    if task == "classify":
        request = text_pb2.ClassifyRequest(inputs=inputs["text"], logits=True)
        results = list(one.text.Classify(request).results)
        names = ("negative", "neutral", "positive")
        scores = [{label.name: label.score for label in item.labels} for item in results]
        return {
            "label": [item.labels[0].name for item in results],
            "score": [item.labels[0].score for item in results],
            "probabilities": [[item[name] for name in names] for item in scores],
            "logits": [list(item.logits) for item in results],
        }
    if task == "embed":
        embedded = one.text.Embed(text_pb2.EmbedRequest(inputs=inputs["text"])).results
        return {"embedding": [np.frombuffer(item.values, "<f4").tolist() for item in embedded]}
    if task == "tag":
        tagged = one.text.Tag(text_pb2.TagRequest(inputs=inputs["text"])).results
        return {"entities": [[(s.start, s.end, s.label, s.text) for s in t.spans] for t in tagged]}
    if task == "answer":
        questions = [
            text_pb2.Question(question=question, context=context)
            for question, context in zip(inputs["question"], inputs["context"], strict=True)
        ]
        found = one.text.Answer(text_pb2.AnswerRequest(questions=questions)).results
        best = [item.answers[0] for item in found]
        return {"answer": [item.text for item in best], "score": [item.score for item in best]}
    return {
        "text_output": [written(one, text) for text in inputs["text"]],
        "finish_reason": ["length"] * len(inputs["text"]),
    }


def written(served: Served, text: str) -> str:
    sampling = generation_pb2.Sampling(max_new_tokens=8, temperature=0.7, seed=5)
    events = served.generation.Generate(
        generation_pb2.GenerateRequest(text=text, sampling=sampling)
    )
    return "".join(event.delta.text for event in events)


def values_of(outputs: Answers) -> Answers:
    """The values of outputs, with entities read from their JSON."""
    found = {name: item["values"] for name, item in outputs.items()}
    if "entities" in found:
        spans = [json.loads(item) for item in found["entities"]]
        keys = ("start", "end", "label", "text")
        found["entities"] = [[tuple(one[key] for key in keys) for one in item] for item in spans]
    return found


def same(found: Answers, expected: Answers) -> None:
    assert list(found) == list(expected)
    for name, values in expected.items():
        if name in NUMBERS:
            np.testing.assert_allclose(found[name], values, atol=CLOSE, err_msg=name)
        else:
            assert found[name] == values, name


@pytest.mark.parametrize("task", TASKS)
def test_every_output_is_what_lepton_answers(
    triton: Any, served: dict[str, Served], cases: Any, task: str
) -> None:
    expected = by_lepton(served, task, cases[task]["inputs"])
    found = triton["unary"][task]
    same(values_of(found["plain"]["outputs"]), expected)
    same(values_of(found["column"]["outputs"]), expected)
    same(values_of(triton["aio"][task]["plain"]["outputs"]), expected)
    for name, output in found["plain"]["outputs"].items():
        assert output["kind"] == ("f" if name in NUMBERS else "O")
        assert output["shape"][0] == 2
    assert found["plain"]["id"] == "one"
    assert found["plain"]["model"] == [task, "1"]
    assert found["plain"]["parameters"]["prompt_tokens"] > 0


@pytest.mark.parametrize("task", TASKS)
def test_outputs_are_those_that_were_asked_for_in_their_order(triton: Any, task: str) -> None:
    plain = triton["unary"][task]["plain"]["outputs"]
    turned = triton["unary"][task]["reversed"]["outputs"]
    assert list(turned) == list(reversed(plain))
    same(
        {name: turned[name]["values"] for name in plain},
        {name: item["values"] for name, item in plain.items()},
    )
    assert list(triton["unary"][task]["one"]["outputs"]) == list(plain)[:1]


@pytest.mark.parametrize("task", TASKS)
def test_facts_agree_with_the_answers(triton: Any, cases: Any, task: str) -> None:
    facts = triton["unary"][task]["facts"]
    assert (facts["live"], facts["ready"], facts["model_ready"]) == (True, True, True)
    assert facts["other_ready"] is False
    assert facts["server"]["name"] == "lepton"
    assert facts["server"]["extensions"] == ["model_configuration", "parameters", "statistics"]
    assert facts["index"] == {"models": [{"name": task, "version": "1", "state": "READY"}]}
    metadata, config = facts["metadata"], facts["config"]
    assert (metadata["name"], metadata["versions"], config["name"]) == (task, ["1"], task)
    kinds = {"f": ("FP32", "TYPE_FP32"), "O": ("BYTES", "TYPE_STRING")}
    outputs = triton["unary"][task]["plain"]["outputs"]
    for index, (name, output) in enumerate(outputs.items()):
        told, configured = metadata["outputs"][index], config["output"][index]
        assert (told["name"], configured["name"]) == (name, name)
        assert (told["datatype"], configured["data_type"]) == kinds[output["kind"]]
        assert told["shape"] == configured["dims"]
        sizes = [int(size) for size in told["shape"]]
        assert sizes == [-1, *output["shape"][1:]]
    for side, kind in (("input", "inputs"), ("output", "outputs")):
        named = [item["name"] for item in config[side]]
        assert named == [item["name"] for item in metadata[kind]]
    required = [item["name"] for item in config["input"] if not item.get("optional")]
    assert required == list(cases[task]["inputs"])
    decoupled = config["model_transaction_policy"].get("decoupled", False)
    assert decoupled is (task == "generate")


def test_the_configuration_names_the_columns(triton: Any) -> None:
    labels = triton["unary"]["classify"]["facts"]["config"]["parameters"]["labels"]
    assert json.loads(labels["string_value"]) == ["negative", "neutral", "positive"]


@pytest.mark.parametrize("task", TASKS)
def test_statistics_count_what_was_asked(triton: Any, task: str) -> None:
    before, found = (triton["unary"][task][name] for name in ("before", "statistics"))
    success, earlier = (item["inference_stats"]["success"] for item in (found, before))
    assert (found["name"], found["version"]) == (task, "1")
    assert int(success["count"]) - int(earlier.get("count", 0)) == 4
    assert int(found["inference_count"]) - int(before.get("inference_count", 0)) == 8
    assert int(success["ns"]) >= int(found["inference_stats"]["compute_infer"]["ns"]) > 0
    assert int(found["execution_count"]) > 0
    assert int(found["last_inference"]) > 1_700_000_000_000


FAILURES = {
    "model": ("NOT_FOUND", "'classify', not 'other'"),
    "adapter": ("NOT_FOUND", "no adapter 'other'"),
    "version": ("NOT_FOUND", "version '1' only"),
    "datatype": ("INVALID_ARGUMENT", "must be BYTES, not 'FP32'"),
    "input": ("INVALID_ARGUMENT", "no such input; inputs are text, "),
    "twice": ("INVALID_ARGUMENT", "'text' a second time"),
    "empty": ("INVALID_ARGUMENT", "text[1]: must not be empty"),
    "output": ("INVALID_ARGUMENT", "it has label, score"),
    "class_count": ("INVALID_ARGUMENT", "classification is not served"),
    "metadata": ("NOT_FOUND", "'classify', not 'other'"),
    "load": ("UNIMPLEMENTED", ""),
    "shared memory": ("UNIMPLEMENTED", ""),
}


@pytest.mark.parametrize("what", FAILURES)
def test_errors_have_the_status_of_the_table(triton: Any, what: str) -> None:
    code, part = FAILURES[what]
    found, text = triton["failures"][what]
    assert found == f"StatusCode.{code}"
    assert part in text


def test_a_deadline_that_cannot_be_kept_is_told(triton: Any) -> None:
    # By the client itself, or by the worker, whichever is faster.
    code, _ = triton["failures"]["timeout"]
    assert code in ("StatusCode.DEADLINE_EXCEEDED", "StatusCode.RESOURCE_EXHAUSTED")


def rows_by_id(answers: list[Any]) -> dict[str, list[Answers]]:
    found: dict[str, list[Answers]] = {}
    for item in answers:
        if isinstance(item, dict):
            found.setdefault(item["id"], []).append(item)
    return found


def joined(answers: list[Answers]) -> list[str]:
    """The texts that the answers to one request add up to."""
    parts = [item["outputs"]["text_output"]["values"] for item in answers]
    return ["".join(column) for column in zip(*parts, strict=True)]


def test_a_stream_answers_each_of_its_requests_in_parts(triton: Any) -> None:
    found = triton["streamed"]
    answers = rows_by_id(found)
    assert joined(answers["0"]) == ["héllo wörld"]
    assert joined(answers["2"]) == ["a", "bcd"]
    for parts in answers.values():
        final = [item["parameters"]["triton_final_response"] for item in parts]
        assert final == [False] * (len(parts) - 1) + [True]
        assert set(parts[-1]["outputs"]["finish_reason"]["values"]) == {"stop"}
        assert parts[-1]["parameters"]["output_tokens"] > 0
    assert [item for item in found if isinstance(item, list)] == [
        ["", "text[0]: must not be empty"]
    ]


def test_a_strict_stream_ends_with_a_status(triton: Any) -> None:
    assert triton["strict"] == [["StatusCode.INVALID_ARGUMENT", "text[0]: must not be empty"]]


@pytest.mark.parametrize("task", TASKS)
def test_the_asynchronous_client_streams_too(triton: Any, task: str) -> None:
    found = triton["aio"][task]
    assert found["ready"] is True
    answers = rows_by_id(found["stream"])
    assert set(answers) == {"0", "1"}
    whole = found["plain"]["outputs"]
    for parts in answers.values():
        assert parts[-1]["parameters"]["triton_final_response"] is True
        if task == "generate":
            assert joined(parts) == whole["text_output"]["values"]
        else:
            assert len(parts) == 1
            same(values_of(parts[0]["outputs"]), values_of(whole))
    errors = [item for item in found["stream"] if isinstance(item, list)]
    assert errors == [["", f"this server serves {task!r}, not 'other'"]]


def test_a_cancelled_call_leaves_the_engine(triton: Any) -> None:
    # The program itself has waited until the engine had it, and until it was gone.
    code, _ = triton["cancelled"]["error"]
    assert code == "StatusCode.CANCELLED"
