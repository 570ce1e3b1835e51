"""Pooling as sentence encoders declare it in their files, in the old form and the new one."""

import json
from pathlib import Path
from typing import Any

import pytest

from lepton_worker.errors import LoadError, TaskNotSupported, WeightsCorrupt
from lepton_worker.model import Pooling
from lepton_worker.tasks.pooling import read_pooling


def modules(*kinds: str) -> list[dict[str, str]]:
    return [{"type": f"sentence_transformers.models.{kind}", "path": kind} for kind in kinds]


def a_folder(root: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(json.dumps(content))
    return root


USUAL = modules("Transformer", "Pooling", "Normalize")


@pytest.mark.parametrize(
    ("files", "pooling"),
    [
        ({}, Pooling()),
        (
            {"modules.json": USUAL, "Pooling/config.json": {"pooling_mode_cls_token": True}},
            Pooling(("cls",), normalize=True),
        ),
        (
            {
                "modules.json": USUAL[:2],
                "Pooling/config.json": {
                    "pooling_mode_max_tokens": True,
                    "pooling_mode_cls_token": True,
                    "pooling_mode_mean_tokens": False,
                },
            },
            Pooling(("cls", "max")),
        ),
        (
            {"modules.json": USUAL[:2], "Pooling/config.json": {"pooling_mode": "lasttoken"}},
            Pooling(("lasttoken",)),
        ),
        (
            {
                "modules.json": USUAL[:1],
                "sentence_bert_config.json": {"max_seq_length": 128, "do_lower_case": True},
                "config_sentence_transformers.json": {
                    "prompts": {"query": "query: "},
                    "default_prompt_name": "query",
                },
            },
            Pooling(
                ("mean",),
                max_length=128,
                lower_case=True,
                prefix="query: ",
                prompts={"query": "query: "},
            ),
        ),
        ({"modules.json": modules("Transformer", "Dropout")}, Pooling()),
    ],
)
def test_declared_pooling(tmp_path: Path, files: dict[str, Any], pooling: Pooling) -> None:
    assert read_pooling(a_folder(tmp_path, files)) == pooling


@pytest.mark.parametrize(
    ("files", "error", "words"),
    [
        ({"modules.json": modules("Dense")}, TaskNotSupported, "asks for a Dense module"),
        (
            {"modules.json": USUAL, "Pooling/config.json": {"pooling_mode": "attention"}},
            TaskNotSupported,
            "pooling 'attention'",
        ),
        (
            {"modules.json": USUAL, "Pooling/config.json": {"include_prompt": False}},
            TaskNotSupported,
            "leaves the prompt out",
        ),
        ({"modules.json": {}}, WeightsCorrupt, "no list of modules"),
    ],
)
def test_what_is_not_offered_is_refused(
    tmp_path: Path, files: dict[str, Any], error: type[LoadError], words: str
) -> None:
    with pytest.raises(error, match=words):
        read_pooling(a_folder(tmp_path, files))


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text("[")
    with pytest.raises(WeightsCorrupt, match=r"modules\.json is not JSON"):
        read_pooling(tmp_path)
