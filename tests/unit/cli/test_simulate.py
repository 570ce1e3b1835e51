"""`lepton simulate` as a person types it."""

import json
from pathlib import Path

import pytest

from lepton_cli.__main__ import USAGE, main

MODEL = """
apiVersion: lepton.ai/v1alpha1
kind: LeptonModel
metadata: {name: writer}
spec:
  source: hf://a/b
  task: generate
  engine: {maxBatchSize: 4}
  scaling: {minReplicas: 1, maxReplicas: MOST, targetQueueDepth: 3}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.yaml"
    path.write_text(MODEL.replace("MOST", "6"))
    return path


def rows(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, float]]:
    """Numbers by policy and column."""
    lines = capsys.readouterr().out.splitlines()
    columns = [name.strip() for name in lines[1].split("  ") if name.strip()]
    found = {}
    for line in lines[2:]:
        cells = line.split()
        found[cells[0]] = dict(zip(columns[1:], map(float, cells[1:]), strict=True))
    return found


def test_two_specs_are_compared_on_the_same_requests(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(MODEL.replace("MOST", "2"))
    assert main(["simulate", str(model), str(other), "--shape", "step", "--seconds", "900"]) == 0
    found = rows(capsys)
    assert set(found) == {str(model), str(other)}
    assert found[str(other)]["replica-s"] < found[str(model)]["replica-s"]
    assert found[str(other)]["mean wait"] > found[str(model)]["mean wait"]


def test_peers_are_beside_it_when_asked_for(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", str(model), "--peers", "--seconds", "300"]) == 0
    assert set(rows(capsys)) == {str(model), "hpa", "keda", "knative", "kubeai"}


def test_a_trace_is_read_from_a_file(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text("\n".join(json.dumps({"at": at, "work": 100}) for at in range(60)))
    assert main(["simulate", str(model), "--trace", str(path), "--pace", "100"]) == 0
    found = rows(capsys)[str(model)]
    assert found["mean wait"] == found["turns"] == 0
    assert found["replica-s"] == pytest.approx(60, abs=2)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("kind: Deployment", "0 objects of kind LeptonModel"),
        ("a: [", "no YAML"),
        (MODEL.replace("MOST", "many"), "spec.scaling.maxReplicas"),
        (
            MODEL.replace("MOST", "2").replace(
                "targetQueueDepth: 3", "behavior: {scaleUp: {selectPolicy: Never}}"
            ),
            "spec.scaling.behavior.scaleUp.selectPolicy: 'Never'; give Max, Min or Disabled",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_field_and_remedy(
    tmp_path: Path, text: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(text)
    assert main(["simulate", str(path)]) == USAGE
    said = capsys.readouterr().err
    assert said.startswith(f"lepton: {path}: ")
    assert word in said


def test_a_missing_file_is_named(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "nowhere.yaml"]) == USAGE
    assert "nowhere.yaml: No such file" in capsys.readouterr().err
    assert main(["simulate", str(model), "--trace", "nowhere.jsonl"]) == USAGE
    assert "nowhere.jsonl: No such file" in capsys.readouterr().err
