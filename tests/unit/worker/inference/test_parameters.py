"""Parameters: who asks, until when, what each task takes, and what is told of mistakes."""

from typing import Any

import pytest

from lepton_worker.errors import ContextLengthExceeded, InvalidRequest, Violation
from lepton_worker.request import Constraint, Task
from lepton_worker.serving.inference import messages
from lepton_worker.serving.inference.parameters import (
    GENERAL,
    OF_TASK,
    Parameters,
    Reads,
    asked,
    reads,
)
from lepton_worker.serving.inference.sampling_parameters import (
    opened,
    renamed,
    sampling,
    sampling_fields,
)
from lepton_worker.tasks.generate import AskedSampling
from lepton_worker.tasks.reading import Overflow
from lepton_worker.tasks.tag import Aggregation

FIELDS = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}


def parameters(**values: Any) -> Parameters:
    sent = {}
    for name, value in values.items():
        field = "uint64_param" if isinstance(value, int) and value >= 2**63 else FIELDS[type(value)]
        sent[name] = messages.InferParameter(**{field: value})
    return Parameters(sent)


def test_who_asks_and_until_when() -> None:
    found = asked("m:a", parameters(adapter="b", tenant="t", priority=-3, timeout=2_500_000))
    assert (found.meta.model, found.meta.adapter, found.meta.tenant) == ("m:a", "b", "t")
    assert (found.meta.priority, found.seconds) == (-3, 2.5)
    assert asked("", parameters()).seconds is None
    assert asked("", parameters(timeout=0)).seconds is None
    assert asked("", Parameters({"priority": messages.InferParameter()})).meta.priority == 0


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"adapter": 1}, ["adapter"]),
        ({"tenant": "x" * 129}, ["tenant"]),
        ({"priority": 101, "timeout": -1}, ["priority", "timeout"]),
        ({"priority": 0.5}, ["priority"]),
        ({"priority": True}, ["priority"]),
        ({"timeout": "soon"}, ["timeout"]),
        ({"timeout": 2**63}, ["timeout"]),
        ({"timeout": float("inf")}, ["timeout"]),
    ],
    ids=str,
)
def test_mistakes_are_told_together(values: Any, names: list[str]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        asked("", parameters(**values))
    assert [item.field for item in caught.value.violations] == [f"parameters[{n}]" for n in names]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, AskedSampling()),
        (
            {"max_tokens": 5, "temperature": 0.5, "top_p": "0.25", "top_k": "7", "seed": 3},
            AskedSampling(max_new_tokens=5, temperature=0.5, top_p=0.25, top_k=7, seed=3),
        ),
        ({"max_new_tokens": 5.0}, AskedSampling(max_new_tokens=5)),
        ({"temperature": 1}, AskedSampling(temperature=1.0)),
        ({"seed": -1}, AskedSampling(seed=2**64 - 1)),
        ({"seed": 2**64 - 1}, AskedSampling(seed=2**64 - 1)),
        ({"stop": "\n"}, AskedSampling(stop=("\n",))),
        ({"stop": '["a", "b"]'}, AskedSampling(stop=("a", "b"))),
        ({"stop_words": "[INST]"}, AskedSampling(stop=("[INST]",))),
        ({"ignore_eos": True}, AskedSampling(ignore_eos=True)),
        ({"ignore_eos": "True"}, AskedSampling(ignore_eos=True)),
        (
            {"min_tokens": 1, "presence_penalty": 1.5, "frequency_penalty": -0.5},
            AskedSampling(min_new_tokens=1, presence_penalty=1.5, frequency_penalty=-0.5),
        ),
        ({"min_p": 0.5, "repetition_penalty": 2.0}, AskedSampling(min_p=0.5, repetition_penalty=2)),
    ],
    ids=str,
)
def test_sampling_by_any_of_its_names(values: Any, expected: AskedSampling) -> None:
    assert sampling(parameters(**values)) == expected


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_new_tokens": 2**31}, "max_new_tokens"),
        ({"max_tokens": 1, "max_new_tokens": 1}, "max_new_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": "nan"}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": 1e308}, "temperature"),
        ({"top_k": 1.5}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"seed": "9" * 5000}, "seed"),
        ({"seed": "٣"}, "seed"),
        ({"stop": 3}, "stop"),
        ({"stop": "[1]"}, "stop"),
        ({"ignore_eos": "perhaps"}, "ignore_eos"),
    ],
    ids=str,
)
def test_sampling_that_cannot_be(values: Any, name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        sampling(parameters(**values))
    assert [item.field for item in caught.value.violations] == [f"parameters[{name}]"]


def test_errors_of_the_task_are_about_parameters() -> None:
    wrong = [Violation("sampling.max_new_tokens", "too many"), Violation("text[0]", "too long")]
    error = ContextLengthExceeded(wrong, metadata={"max_length": "8"})
    found = renamed(error, sampling_fields(parameters(max_tokens=3)))
    assert isinstance(found, ContextLengthExceeded)
    assert [item.field for item in found.violations] == ["parameters[max_tokens]", "text[0]"]
    assert found.metadata == {"max_length": "8"}


def test_how_encoders_read() -> None:
    assert reads(parameters(), (), 8) == Reads()
    found = reads(
        parameters(
            overflow="window", aggregation="max", normalize=False, dimensions=8, prompt_name="q"
        ),
        ("q", "p"),
        8,
    )
    assert found == Reads(Overflow.WINDOW, Aggregation.MAX, False, 8, "q")
    for values in (
        {"overflow": "cut"},
        {"aggregation": "sum"},
        {"normalize": 1},
        {"dimensions": 9},
        {"prompt_name": "x"},
        {"max_answer_tokens": -1},
    ):
        with pytest.raises(InvalidRequest) as caught:
            reads(parameters(**values), ("q", "p"), 8)
        assert [item.field for item in caught.value.violations] == [
            f"parameters[{next(iter(values))}]"
        ]


@pytest.mark.parametrize("task", OF_TASK)
def test_what_means_nothing_to_a_task_is_refused(task: Task) -> None:
    names = [*GENERAL, *OF_TASK[task], "triton_x"]
    parameters(**dict.fromkeys(names, "1")).check_known(OF_TASK[task], task)
    with pytest.raises(InvalidRequest) as caught:
        parameters(surely_unknown=1, tenent="x").check_known(OF_TASK[task], task)
    assert [(item.field, item.description) for item in caught.value.violations] == [
        (
            "parameters[surely_unknown]",
            f"is no parameter of a model for {task.value}; leave it out",
        ),
        (
            "parameters[tenent]",
            f"is no parameter of a model for {task.value}; did you mean tenant?",
        ),
    ]


# ------------------------------------------------------------------ JSON within parameters
@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ('{"temperature": 0.5, "n": 2}', AskedSampling(temperature=0.5, n=2)),
        (
            '{"temperature": "0.5", "stop": ["a", "b"]}',
            AskedSampling(temperature=0.5, stop=("a", "b")),
        ),
        ('{"max_tokens": null, "ignore_eos": true}', AskedSampling(ignore_eos=True)),
        ('{"logit_bias": {"5": -100}}', AskedSampling(bias=((5, -100.0),))),
        (
            '{"guided_decoding": {"choice": ["a", "b"]}}',
            AskedSampling(constraint=Constraint("choices", ("a", "b"))),
        ),
        (
            '{"structured_outputs": {"json": {"type": "null"}}}',
            AskedSampling(constraint=Constraint("json_schema", ('{"type": "null"}',))),
        ),
    ],
)
def test_sampling_in_one_object(sent: str, expected: AskedSampling) -> None:
    found = parameters(sampling_parameters=sent)
    opened(found)
    assert sampling(found) == expected


@pytest.mark.parametrize(
    ("values", "field", "part"),
    [
        ({"sampling_parameters": "[1]"}, "parameters[sampling_parameters]", "JSON object"),
        (
            {"sampling_parameters": '{"top_k": "x"}'},
            "parameters[sampling_parameters].top_k",
            "whole number",
        ),
        (
            {"sampling_parameters": '{"top_p": 2}'},
            "parameters[sampling_parameters].top_p",
            "at most 1",
        ),
        (
            {"sampling_parameters": '{"n": 1}', "n": 2},
            "parameters[sampling_parameters].n",
            "also sent as parameters[n]",
        ),
        (
            {"structured_outputs": '{"xml": "x"}'},
            "parameters[structured_outputs].xml",
            "there are json",
        ),
        ({"regex": "a", "grammar": "b"}, "parameters[grammar]", "beside regex"),
        ({"stop": ""}, "parameters[stop][0]", "not be empty"),
        ({"logit_bias": '{"a": 1}'}, "parameters[logit_bias]", "JSON object of tokens"),
        ({"n": 17}, "parameters[n]", "between 1 and 16"),
        ({"json_schema": "{"}, "parameters[json_schema]", "JSON schema"),
    ],
    ids=str,
)
def test_mistakes_in_objects_are_placed(values: Any, field: str, part: str) -> None:
    found = parameters(**values)
    opened(found)
    with pytest.raises(InvalidRequest) as caught:
        sampling(found)
    (item,) = caught.value.violations
    assert item.field == field
    assert part in item.description
