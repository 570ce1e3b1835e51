"""Which calls a model answers, and what it says of the others."""

import dataclasses
from typing import Any

import pytest

from lepton_worker.model import Model
from lepton_worker.request import Task
from lepton_worker.tasks.offers import ALWAYS, calls, refusal, task_of

NLI = ("contradiction", "neutral", "entailment")


def of(model: Model, task: Task, **more: Any) -> Model:
    plain: dict[str, Any] = {"task": task, "offers": frozenset([task]), "labels": ()}
    return dataclasses.replace(model, **{**plain, **more})


@pytest.mark.parametrize(
    ("task", "more", "expected"),
    [
        (Task.EMBED, {}, {"Embed", "Rerank", "Keywords"}),
        (Task.TAG, {"labels": ("O", "B-PER")}, {"Tag"}),
        (Task.ANSWER, {}, {"Answer"}),
        (Task.CLASSIFY, {"labels": ("sport", "economy")}, {"Classify"}),
        (Task.CLASSIFY, {"labels": ("NEGATIVE", "POSITIVE")}, {"Classify", "Sentiment"}),
        (Task.CLASSIFY, {"labels": NLI, "entailment": 2}, {"Classify", "ClassifyZeroShot"}),
        (Task.CLASSIFY, {"labels": ("LABEL_0",), "scoring": "sigmoid"}, {"Classify", "Rerank"}),
        (Task.CLASSIFY, {"labels": ("neg", "pos"), "scoring": "none"}, {"Classify"}),
        (Task.GENERATE, {}, {"Generate", "Score"}),
        (
            Task.GENERATE,
            {"chat_template": "x"},
            {"Generate", "Chat", "Score", "Summarise", "Translate"},
        ),
        (Task.GENERATE, {"encoder_decoder": True}, {"Generate", "Summarise", "Translate"}),
    ],
)
def test_calls(echo_model: Model, task: Task, more: dict[str, Any], expected: set[str]) -> None:
    model = of(echo_model, task, **more)
    assert calls(model)[-2:] == ALWAYS
    assert {call.rsplit("/", 1)[1] for call in calls(model)[:-2]} == expected
    for call in calls(model):
        assert task_of(model, call) is task
        assert call.startswith("lepton.v1.")
    assert len(set(calls(model))) == len(calls(model))


@pytest.mark.parametrize(
    ("call", "labels", "words"),
    [
        ("Tag", ("a", "b"), "Tag needs a head for tokens; call Classify, Tokenize, Detokenize"),
        ("Sentiment", ("a", "b"), "a sentiment; its labels are a, b; call Classify"),
        ("Rerank", ("a",) * 9, "with one label or task embed; its labels are .* and 1 more"),
        ("Score", ("a", "b"), "generates without an encoder; call"),
    ],
)
def test_what_is_not_answered_is_told_with_what_is(
    echo_model: Model, call: str, labels: tuple[str, ...], words: str
) -> None:
    model = of(echo_model, Task.CLASSIFY, labels=labels)
    name = f"lepton.v1.Text/{call}"
    assert task_of(model, name) is None
    error = refusal(model, name, "mine")
    assert error.message.startswith("'mine' is served for classify, and ")
    with pytest.raises(type(error), match=words):
        raise error
    assert error.metadata["task"] == "classify"
    assert error.metadata["calls"] == ",".join(calls(model))
