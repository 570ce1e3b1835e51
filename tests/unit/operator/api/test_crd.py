"""The generated CRD and pages."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from lepton_operator.api import crd
from lepton_operator.api.types import LeptonModel

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize("path", sorted(crd.files()))
def test_committed_files_are_what_make_generate_writes(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == crd.files()[path]


def test_it_stays_small_enough_for_every_way_of_applying_it() -> None:
    assert len(crd.text()) < 64 * 1024


def test_it_is_what_the_header_says_and_valid_yaml() -> None:
    assert crd.text().startswith("# Generated from operator/lepton_operator/api")
    assert yaml.safe_load(crd.text()) == crd.definition()


def test_the_server_fills_in_exactly_the_defaults_of_the_types() -> None:
    spec = crd.schema()["properties"]["spec"]
    filled = _defaulted(spec, {"source": "hf://a/b"})
    from_types = LeptonModel.model_validate({"metadata": {"name": "x"}, "spec": filled}).spec
    bare = {"metadata": {"name": "x"}, "spec": {"source": "hf://a/b"}}
    assert from_types == LeptonModel.model_validate(bare).spec


def _defaulted(schema: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """What the API server does with `default`."""
    result = dict(value)
    for name, field in schema.get("properties", {}).items():
        if name not in result and "default" in field:
            result[name] = field["default"]
        if isinstance(result.get(name), dict):
            result[name] = _defaulted(field, result[name])
    return result


def test_every_field_is_described_in_one_line() -> None:
    def walk(node: dict[str, Any], path: str) -> None:
        assert node.get("description"), path
        assert "\n" not in node["description"], path
        for name, field in node.get("properties", {}).items():
            walk(field, f"{path}.{name}")

    for part in ("spec", "status"):
        walk(crd.schema()["properties"][part], part)


def test_the_schema_is_structural() -> None:
    def walk(node: Any, path: str) -> None:
        if isinstance(node, list):
            for index, item in enumerate(node):
                walk(item, f"{path}[{index}]")
        if not isinstance(node, dict):
            return
        assert not {"$ref", "$defs", "title", "allOf"} & node.keys(), path
        if "anyOf" in node:
            assert node.get("x-kubernetes-int-or-string"), path
        for name, field in node.items():
            walk(field, f"{path}.{name}")

    walk(crd.schema(), "")


def test_columns_point_to_fields_that_exist() -> None:
    properties = crd.schema()["properties"]["status"]["properties"]
    version = crd.definition()["spec"]["versions"][0]
    paths = [column["jsonPath"] for column in version["additionalPrinterColumns"]]
    for path in paths:
        part, name = path.split(".")[1:]
        assert part == "metadata" or name in properties
    assert [column["name"] for column in version["additionalPrinterColumns"]] == [
        "Task",
        "Phase",
        "Ready",
        "Queue",
        "Replicas",
        "Age",
        "Reason",
    ]
