"""What is read from config.json without the model's classes."""

from typing import Any

import pytest

from lepton_worker.backends.lengths import UNBOUNDED
from lepton_worker.backends.onnx.facts import (
    entailment_of,
    labels_of,
    longest_input,
    named_labels,
    padding_of,
    scoring_of,
    text_config,
)
from lepton_worker.errors import InvalidSetting

BERT = {"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}
ROBERTA = {"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}


@pytest.mark.parametrize(
    ("config", "asked", "declared", "longest"),
    [
        (BERT, None, None, 512),
        (BERT, 100, 50, 100),
        (BERT, None, 256, 256),
        (BERT, None, 1000, 512),
        (ROBERTA, None, None, 512),
        ({"model_type": "roberta", "max_position_embeddings": 514}, None, None, 512),
        ({"model_type": "distilbert", "max_position_embeddings": 512}, 512, None, 512),
        ({"n_positions": 64}, None, None, 64),
        ({}, None, None, UNBOUNDED),
        ({}, 9000, None, 9000),
    ],
)
def test_the_longest_input(
    config: dict[str, Any], asked: int | None, declared: int | None, longest: int
) -> None:
    assert longest_input(config, asked, declared) == longest


@pytest.mark.parametrize(("config", "asked"), [(BERT, 513), (ROBERTA, 513)])
def test_more_than_the_positions_is_refused(config: dict[str, Any], asked: int) -> None:
    with pytest.raises(InvalidSetting, match="513 was asked for, and the model takes 512"):
        longest_input(config, asked, None)


@pytest.mark.parametrize(
    ("config", "padding"),
    [
        (BERT, 0),
        (ROBERTA, 1),
        ({"model_type": "camembert"}, 1),
        ({"model_type": "bert"}, None),
        ({"pad_token_id": -1}, None),
    ],
)
def test_the_padding_token(config: dict[str, Any], padding: int | None) -> None:
    assert padding_of(config) == padding


def test_labels_are_in_the_order_of_the_logits() -> None:
    config = {"id2label": {"1": "bad", "0": "good", "10": "none"}}
    assert labels_of(config, 2) == ("good", "bad")
    assert named_labels(config) == 3
    assert labels_of({}, 2) == ("LABEL_0", "LABEL_1")
    assert named_labels({}) is None


@pytest.mark.parametrize(
    ("config", "labels", "scoring"),
    [
        ({}, 2, "softmax"),
        ({}, 1, "sigmoid"),
        ({"problem_type": "regression"}, 1, "none"),
        ({"problem_type": "multi_label_classification"}, 3, "sigmoid"),
        ({"problem_type": "single_label_classification"}, 3, "softmax"),
    ],
)
def test_scoring(config: dict[str, Any], labels: int, scoring: str) -> None:
    assert scoring_of(config, labels) == scoring


def test_entailment_is_known_by_its_name() -> None:
    assert entailment_of(("contradiction", "Entailment")) == 1
    assert entailment_of(("good", "bad")) is None


def test_the_part_for_text_comes_first() -> None:
    config = {"model_type": "outer", "text_config": {"model_type": "inner"}, "a": 1}
    assert text_config(config)["model_type"] == "inner"
    assert text_config(config)["a"] == 1
    assert text_config(BERT) == BERT
