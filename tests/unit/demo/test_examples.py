"""Every example is a LeptonModel as the API defines it, and says what it is for."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from lepton_demo import models, site, texts
from lepton_demo.site import EXAMPLES
from lepton_operator.api import names
from lepton_operator.api.types import LeptonModel
from lepton_worker.samples import sample_names

FILES = sorted(EXAMPLES.rglob("*.yaml"))


def document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Every value of a nested structure by its path."""
    if isinstance(value, dict) and value:
        return {
            inner: leaf
            for key, part in value.items()
            for inner, leaf in leaves(part, f"{path}.{key}").items()
        }
    return {path: value}


def test_there_are_examples_for_both_sites() -> None:
    assert len(FILES) == 7


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_is_valid_and_none_of_its_fields_is_ignored(path: Path) -> None:
    written = document(path)
    assert written["apiVersion"] == names.API_VERSION
    assert written["kind"] == names.KIND
    read = LeptonModel.model_validate(written)
    kept = read.model_dump(by_alias=True, exclude_unset=True)
    assert leaves(kept["spec"]) == leaves(written["spec"])
    assert len(written["metadata"]["name"]) <= names.LIMIT_NAME


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_example_begins_with_what_it_is_for(path: Path) -> None:
    lines = path.read_text().splitlines()
    header = [line for line in lines if line.startswith("# ")]
    assert lines[: len(header)] == header
    assert 2 <= len(header) <= 4


@pytest.mark.parametrize("folder", ["local", "hub"])
def test_both_sites_have_the_models_that_are_asked(folder: str) -> None:
    found = {document(path)["metadata"]["name"] for path in (EXAMPLES / folder).glob("*.yaml")}
    assert found == set(texts.MODELS)


def test_local_models_come_from_the_claim_that_the_demo_fills() -> None:
    for path in (EXAMPLES / "local").glob("*.yaml"):
        assert document(path)["spec"]["source"].startswith(f"pvc://{models.CLAIM}/")


@pytest.mark.parametrize("folder", ["local", "hub"])
def test_the_model_under_load_can_grow_to_three(folder: str) -> None:
    path = EXAMPLES / folder / f"{texts.ENCODER}.yaml"
    scaling = LeptonModel.model_validate(document(path)).spec.scaling
    assert (scaling.min_replicas, scaling.max_replicas) == (1, 3)


def test_what_makes_the_demos_models_is_part_of_their_mark(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    maker = tmp_path / "worker" / "lepton_worker" / "samples" / "catalog.py"
    maker.parent.mkdir(parents=True)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"1")
    monkeypatch.setattr(models, "REPOSITORY", tmp_path)
    marks = set()
    for text in ("a = 1", "a = 2"):
        maker.write_text(text)
        marks.add(models._sources(tmp_path))
    assert len(marks) == 2
    assert list((site.REPOSITORY / "worker" / "lepton_worker" / "samples").glob("catalog.py"))


@pytest.mark.parametrize("path", sorted((EXAMPLES / "local").glob("*.yaml")), ids=lambda p: p.stem)
def test_a_local_example_serves_a_folder_that_the_demo_makes(path: Path) -> None:
    folder = document(path)["spec"]["source"].removeprefix("pvc://models/")
    assert folder in {models.ENCODER, *sample_names()}
