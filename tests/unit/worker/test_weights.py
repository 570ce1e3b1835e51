"""Safetensors files: whole ones pass, every kind of damage is told apart and named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lepton_worker.errors import LoadError, WeightsCorrupt, WeightsMissing
from lepton_worker.source.weights import INDEX, SINGLE, check_weights, memory_needed

Header = dict[str, Any]


def a_header() -> Header:
    return {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b": {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]},
        "n": {"dtype": "I64", "shape": [], "data_offsets": [32, 40]},
    }


def written(file: Path, header: Header, data: int = 40) -> Path:
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + bytes(data))
    return file


def test_a_whole_file_passes_and_its_memory_is_known(tmp_path: Path) -> None:
    written(tmp_path / SINGLE, a_header())
    check_weights(tmp_path)
    assert memory_needed(tmp_path, None) == 40
    assert memory_needed(tmp_path, 32) == 24 + 16 + 8
    assert memory_needed(tmp_path, 16) == 12 + 8 + 8


def bent(name: str, **fields: Any) -> Callable[[Header], None]:
    return lambda header: header[name].update(fields)


@pytest.mark.parametrize(
    ("bend", "words"),
    [
        (bent("a", shape=[2, 4]), "the place of a does not fit"),
        (bent("a", dtype="F33"), "a has the unknown dtype F33"),
        (bent("b", data_offsets=[20, 28]), "the place of b does not fit"),
        (bent("n", data_offsets=[40, 48]), "the place of n does not fit"),
        (bent("a", data_offsets=[0]), "a header that cannot be read"),
        (lambda header: header.update(a=None), "a header that cannot be read"),
        (lambda header: header.pop("n"), "holds 40 bytes of weights, and its header speaks of 32"),
    ],
)
def test_a_header_that_does_not_add_up_is_corrupt(
    tmp_path: Path, bend: Callable[[Header], None], words: str
) -> None:
    header = a_header()
    bend(header)
    written(tmp_path / SINGLE, header)
    with pytest.raises(WeightsCorrupt, match=words):
        check_weights(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234",
        bytes(range(256)) * 4,
        (10).to_bytes(8, "little") + b"not json!!",
        (2**40).to_bytes(8, "little") + b"{}",
        (1).to_bytes(8, "little") + b"{",
        (2).to_bytes(8, "little") + b"[]",
    ],
)
def test_other_bytes_are_corrupt(tmp_path: Path, content: bytes) -> None:
    (tmp_path / SINGLE).write_bytes(content)
    with pytest.raises(WeightsCorrupt, match=SINGLE):
        check_weights(tmp_path)


@pytest.mark.parametrize("kept", [0, 7, 8, 50, -1])
def test_a_file_cut_anywhere_is_corrupt(tmp_path: Path, kept: int) -> None:
    whole = written(tmp_path / SINGLE, a_header()).read_bytes()
    (tmp_path / SINGLE).write_bytes(whole[:kept])
    with pytest.raises(WeightsCorrupt):
        check_weights(tmp_path)


def sharded(folder: Path, weight_map: Any) -> Path:
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    return folder


def test_shards_are_all_checked(tmp_path: Path) -> None:
    written(tmp_path / "1.safetensors", a_header())
    written(tmp_path / "2.safetensors", {"c": a_header()["a"]}, 24)
    sharded(tmp_path, {"a": "1.safetensors", "c": "2.safetensors"})
    check_weights(tmp_path)
    assert memory_needed(tmp_path, None) == 64


@pytest.mark.parametrize(
    ("weight_map", "error", "words"),
    [
        ({"a": "gone.safetensors"}, WeightsMissing, "gone.safetensors is not there"),
        ({"z": "1.safetensors"}, WeightsMissing, "1.safetensors lacks z"),
        (["a"], WeightsCorrupt, "is not an index"),
        (None, WeightsCorrupt, "is not an index"),
    ],
)
def test_an_index_has_to_tell_the_truth(
    tmp_path: Path, weight_map: Any, error: type[LoadError], words: str
) -> None:
    written(tmp_path / "1.safetensors", a_header())
    with pytest.raises(error, match=words):
        check_weights(sharded(tmp_path, weight_map))


def test_pickles_are_named_with_the_remedy_and_never_loaded(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"anything")
    with pytest.raises(WeightsMissing, match=r"pytorch_model\.bin only.*never loaded; convert"):
        check_weights(tmp_path)


def test_an_empty_folder_lacks_its_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=f"neither {SINGLE} nor {INDEX}"):
        check_weights(tmp_path)
