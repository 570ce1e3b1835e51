"""What an adapter's config says, and every way in which it can be wrong."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from lepton_worker.backends.linears.peft_files import (
    CONFIG,
    AdapterConfig,
    locate,
    parse_config,
    read_config,
    sort_names,
    targeted,
)
from lepton_worker.errors import LoadError, SourceNotFound, TaskNotSupported, WeightsMissing

PLAIN: dict[str, Any] = {
    "peft_type": "LORA",
    "r": 8,
    "lora_alpha": 16,
    "target_modules": ["q_proj", "v_proj"],
    "bias": "none",
    "init_lora_weights": True,
}
KNOWN = [
    "model.layers.0.self_attn.q_proj",
    "model.layers.0.self_attn.v_proj",
    "model.layers.1.self_attn.q_proj",
    "model.layers.1.mlp.up_proj",
    "lm_head",
]


@pytest.mark.parametrize(
    ("changes", "name", "rank", "scale"),
    [
        ({}, KNOWN[0], 8, 2.0),
        ({"use_rslora": True}, KNOWN[0], 8, 16 / math.sqrt(8)),
        ({"rank_pattern": {"q_proj": 4}}, KNOWN[0], 4, 4.0),
        ({"rank_pattern": {"q_proj": 4}}, KNOWN[1], 8, 2.0),
        ({"rank_pattern": {r"layers\.1\..*": 2}}, KNOWN[2], 2, 8.0),
        ({"rank_pattern": {r"layers\.1\..*": 2}}, KNOWN[0], 8, 2.0),
        ({"alpha_pattern": {KNOWN[0]: 32}}, KNOWN[0], 8, 4.0),
        ({"alpha_pattern": {"proj": 32}}, KNOWN[0], 8, 2.0),
    ],
)
def test_rank_and_scale_of_a_layer(
    changes: dict[str, Any], name: str, rank: int, scale: float
) -> None:
    config = parse_config(PLAIN | changes)
    assert config.rank_of(name) == rank
    assert config.scale(name, rank) == pytest.approx(scale)


def test_adalora_divides_by_the_rank_that_the_training_began_with() -> None:
    config = parse_config(PLAIN | {"peft_type": "ADALORA", "r": 99, "init_r": 12})
    assert config.rank_of(KNOWN[0]) is None
    assert config.scale(KNOWN[0], 5) == pytest.approx(16 / (12 + 1e-5), rel=1e-12)
    assert config.scale(KNOWN[0], 5, ranknum=4.0) == pytest.approx(16 / (4 + 1e-5), rel=1e-12)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"bias": "all"}, "bias"),
        ({"lora_bias": True}, "lora_bias"),
        ({"peft_type": "IA3"}, "peft_type"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights"),
        ({"target_parameters": ["experts.weight"]}, "target_parameters"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
        ({"layer_replication": [[0, 4], [2, 6]]}, "layer_replication"),
    ],
)
def test_what_is_not_plain_is_refused_by_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(TaskNotSupported, match=field):
        parse_config(PLAIN | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"use_dora": False, "layer_replication": None, "trainable_token_indices": None},
        {"init_lora_weights": "gaussian"},
        {"fan_in_fan_out": True},
    ],
)
def test_fields_that_change_nothing_pass(changes: dict[str, Any]) -> None:
    assert parse_config(PLAIN | changes) == parse_config(PLAIN)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "Expecting"),
        ("[]", "not an object"),
        ("{}", "peft_type"),
        (json.dumps(PLAIN | {"r": "many"}), "many"),
        (json.dumps(PLAIN | {"r": 0}), "1 or more"),
        (json.dumps(PLAIN | {"rank_pattern": {"q_proj": 0}}), "1 or more"),
    ],
)
def test_broken_config_is_named(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / CONFIG).write_text(content)
    with pytest.raises(LoadError, match=words) as raised:
        read_config(tmp_path)
    assert str(tmp_path / CONFIG) in str(raised.value)


def test_missing_folder_and_missing_config_differ(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound):
        read_config(tmp_path / "nowhere")
    with pytest.raises(WeightsMissing, match=CONFIG):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("targets", "more", "expected"),
    [
        (["q_proj"], {}, {KNOWN[0], KNOWN[2]}),
        (["proj"], {}, set()),
        ([KNOWN[0]], {}, {KNOWN[0]}),
        (r".*layers\.0.*_proj", {}, {KNOWN[0], KNOWN[1]}),
        ("all-linear", {}, set()),
        (["q_proj"], {"layers_to_transform": [0]}, set()),
        (["q_proj"], {"exclude_modules": ["x"]}, set()),
        (["q_proj", "lm_head"], {"modules_to_save": ["lm_head"]}, {KNOWN[0], KNOWN[2]}),
    ],
)
def test_layers_that_have_to_be_in_the_file(
    targets: Any, more: dict[str, Any], expected: set[str]
) -> None:
    config = parse_config(PLAIN | {"target_modules": targets} | more)
    assert targeted(config, KNOWN) == expected


def test_names_of_tensors_are_sorted() -> None:
    prefix = "base_model.model."
    names = sort_names(
        [
            f"{prefix}{KNOWN[0]}.lora_A.weight",
            f"{prefix}{KNOWN[0]}.lora_B.default.weight",
            f"{prefix}{KNOWN[1]}.lora_E",
            f"{prefix}score.weight",
            f"{prefix}classifier.modules_to_save.default.bias",
        ]
    )
    assert names.factors[KNOWN[0]] == {
        "lora_A": f"{prefix}{KNOWN[0]}.lora_A.weight",
        "lora_B": f"{prefix}{KNOWN[0]}.lora_B.default.weight",
    }
    assert set(names.factors[KNOWN[1]]) == {"lora_E"}
    assert names.whole == {
        "score": {"weight": f"{prefix}score.weight"},
        "classifier": {"bias": f"{prefix}classifier.modules_to_save.default.bias"},
    }


@pytest.mark.parametrize(
    "key", ["x.lora_magnitude_vector", "x.lora_B.bias", "embed.lora_embedding_A"]
)
def test_other_parts_of_lora_are_refused(key: str) -> None:
    with pytest.raises(TaskNotSupported, match=key):
        sort_names([f"base_model.model.{key}"])


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.q_proj"),
        ("layers.0.self_attn.q_proj", "model.layers.0.self_attn.q_proj"),
        ("model.lm_head", "lm_head"),
        ("layers.9.self_attn.q_proj", None),
    ],
)
def test_layers_are_found_with_and_without_the_head_class(name: str, found: str | None) -> None:
    assert locate(name, KNOWN, "model") == found


def test_saved_modules_match_by_whole_parts() -> None:
    config = AdapterConfig("LORA", 8, 16, whole=("classifier",))
    assert config.is_whole("classifier")
    assert config.is_whole("classifier.out_proj")
    assert not config.is_whole("my_classifier")
