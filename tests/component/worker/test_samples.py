"""The sample models: the same for each seed, whole, and of use to every task."""

import hashlib
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from lepton_worker.errors import InvalidSetting
from lepton_worker.samples import sample_names, write_sample, write_samples
from lepton_worker.samples.sentences import SENTENCES
from lepton_worker.source.folder import check_folder

pytestmark = pytest.mark.component


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("name", sample_names())
def test_a_sample_is_whole_and_the_same_each_time(tmp_path: Path, samples: Path, name: str) -> None:
    check_folder(samples / name)
    assert digests(write_sample(tmp_path / "again", name)) == digests(samples / name)
    other = digests(write_sample(tmp_path / "other", name, seed=1))
    assert other["model.safetensors"] != digests(samples / name)["model.safetensors"]
    assert other["tokenizer.json"] == digests(samples / name)["tokenizer.json"]


@pytest.mark.parametrize("name", ["llama", "llama-bytes", "qwen2", "mistral", "gpt2"])
def test_the_tokenizers_of_decoders_lose_nothing(samples: Path, name: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(samples / name)
    for sentence in SENTENCES:
        ids = tokenizer(sentence).input_ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == sentence


def test_a_name_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="no sample is named nope; there are llama"):
        list(write_samples(tmp_path, ["nope"]))
