"""A folder is told to be no model before anything heavy is imported."""

from pathlib import Path

import pytest

from lepton_worker.errors import LoadError, SourceNotFound, WeightsCorrupt, WeightsMissing
from lepton_worker.source import find_source
from lepton_worker.source.weights import SINGLE

WHOLE = {
    "config.json": b"{}",
    SINGLE: (2).to_bytes(8, "little") + b"{}",
    "tokenizer.json": b"{}",
}


def a_folder(root: Path, **changes: bytes | None) -> Path:
    folder = root / "model"
    folder.mkdir()
    for name, content in {**WHOLE, **changes}.items():
        if content is not None:
            (folder / name).write_bytes(content)
    return folder


def test_a_whole_folder_is_found(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    assert find_source(str(folder), tmp_path) == folder


@pytest.mark.parametrize("tokenizer", ["vocab.txt", "vocab.json", "spiece.model"])
def test_any_form_of_tokenizer_will_do(tmp_path: Path, tokenizer: str) -> None:
    find_source(str(a_folder(tmp_path, **{"tokenizer.json": None, tokenizer: b"x"})), tmp_path)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"config.json": None}, WeightsMissing, "has no config.json"),
        ({"config.json": b"{"}, WeightsCorrupt, "config.json is not JSON"),
        ({"config.json": b"\xff\xfe"}, WeightsCorrupt, "config.json is not JSON"),
        ({"config.json": b"[]"}, WeightsCorrupt, "holds no JSON object"),
        ({SINGLE: None}, WeightsMissing, "save the model with save_pretrained"),
        ({SINGLE: b"random"}, WeightsCorrupt, "no safetensors file"),
        ({"tokenizer.json": None}, WeightsMissing, "has no tokenizer"),
    ],
)
def test_the_first_thing_wrong_is_named(
    tmp_path: Path, changes: dict[str, bytes | None], error: type[LoadError], words: str
) -> None:
    with pytest.raises(error, match=words):
        find_source(str(a_folder(tmp_path, **changes)), tmp_path)


def test_a_missing_folder_and_a_file_are_not_found(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="is not there"):
        find_source(str(tmp_path / "none"), tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(SourceNotFound, match="a file, not a folder"):
        find_source(str(tmp_path / "file"), tmp_path)
