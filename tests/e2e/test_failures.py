"""Each way a model can fail on a real node: the culprit is named, and mending it is enough."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lepton_testing.installation import MODELS_CLAIM, Installation, a_model

pytestmark = pytest.mark.e2e

CRASH = "import sys; sys.stderr.write('loading a wing\\n'); sys.exit('the left wing fell off')"
"""Both lines go the same way: the lines of two streams may change places in a container's log."""


def container(**fields: Any) -> dict[str, Any]:
    """A pod template that changes the worker's container."""
    return {"spec": {"containers": [{"name": "worker", **fields}]}}


@dataclass(frozen=True)
class Row:
    """A failing spec, what has to be said about it, and what mends it."""

    name: str
    claim: str
    words: tuple[str, ...]
    source: str = f"pvc://{MODELS_CLAIM}/minilm"
    spec: dict[str, Any] = field(default_factory=dict)
    mended: dict[str, Any] = field(default_factory=dict)
    """Fields of the mended spec; empty when the folder is mended instead."""
    mend_folder: Callable[[Path], None] | None = None


def bring_weights(folder: Path) -> None:
    """Put the real weights where they were missing or corrupt."""
    shutil.copy(folder.parent / "minilm" / "model.safetensors", folder / "model.safetensors")


def bring_folder(folder: Path) -> None:
    """Make the whole model appear."""
    shutil.copytree(folder.parent / "minilm", folder)


ROWS = (
    Row(
        "no-claim",
        "Ready=False/SourceNotFound",
        ("nosuch",),
        source="pvc://nosuch/minilm",
        mended={"source": "pvc://models/minilm"},
    ),
    Row(
        "no-folder",
        "ModelReady=False/SourceNotFound",
        ("later",),
        source="pvc://models/later",
        mend_folder=bring_folder,
    ),
    Row(
        "no-weights",
        "ModelReady=False/WeightsMissing",
        ("safetensors",),
        source="pvc://models/no-weights",
        mend_folder=bring_weights,
    ),
    Row(
        "bad-weights",
        "ModelReady=False/WeightsCorrupt",
        ("model.safetensors",),
        source="pvc://models/bad-weights",
        mend_folder=bring_weights,
    ),
    Row(
        "wrong-task",
        "ModelReady=False/TaskNotSupported",
        ("generate", "embed"),
        spec={"task": "generate"},
        mended={"task": "embed"},
    ),
    Row(
        "no-image",
        "Available=False/ImagePull",
        ("registry.localcluster/nosuch:1",),
        spec={"podTemplate": container(image="registry.localcluster/nosuch:1")},
        mended={"podTemplate": None},
    ),
    Row(
        "too-big",
        "Available=False/Unschedulable",
        ("cpu",),
        spec={"resources": {"requests": {"cpu": "1000", "memory": "256Mi"}}},
        mended={"resources": {"requests": {"cpu": "100m", "memory": "256Mi"}}},
    ),
    Row(
        "no-memory",
        "ModelReady=False/OutOfMemory",
        ("memory",),
        spec={"resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "100Mi"}}},
        mended={"resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "2Gi"}}},
    ),
    Row(
        "crashing",
        "ModelReady=False/CrashLoop",
        ("the left wing fell off",),
        spec={"podTemplate": container(command=["python3", "-c", CRASH])},
        mended={"podTemplate": None},
    ),
)


@pytest.fixture(scope="module")
def broken(
    lepton: Installation, model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """A namespace with every failing model, and the folder behind its claim."""
    folder = tmp_path_factory.mktemp("broken")
    shutil.copytree(model_folder / "minilm", folder / "minilm")
    for name in ("no-weights", "bad-weights"):
        shutil.copytree(model_folder / "minilm", folder / name)
    (folder / "no-weights" / "model.safetensors").unlink()
    with (folder / "bad-weights" / "model.safetensors").open("r+b") as weights:
        weights.truncate(1 << 20)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    with lepton.cluster.namespace("failures") as namespace:
        lepton.cluster.model_volume(MODELS_CLAIM, folder, namespace)
        models = [a_model(row.name, row.source, **row.spec) for row in ROWS]
        lepton.cluster.apply(models, namespace=namespace)
        yield namespace, folder


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_condition_names_the_culprit_and_mending_is_enough(
    lepton: Installation, broken: tuple[str, Path], row: Row
) -> None:
    namespace, folder = broken
    found = lepton.await_condition(row.name, namespace, row.claim, timeout=180)
    reason = row.claim.partition("/")[2]
    for word in row.words:
        assert word in found["message"]
    ready = lepton.await_condition(row.name, namespace, f"Ready=False/{reason}", timeout=30)
    assert ready["message"] == found["message"]
    assert lepton.model(row.name, namespace)["status"]["reason"].startswith(reason)
    assert reason in {event for event, _ in lepton.events(row.name, namespace)}

    if row.mend_folder:
        row.mend_folder(folder / row.source.rpartition("/")[2])
    else:
        mended = {**a_model(row.name, row.source, **row.spec)["spec"], **row.mended}
        spec = {key: value for key, value in mended.items() if value is not None}
        lepton.cluster.apply(a_model(row.name, **spec), namespace=namespace)
    lepton.await_condition(row.name, namespace, "Ready=True", timeout=240)
    assert not lepton.model(row.name, namespace)["status"].get("reason")
    lepton.cluster.kubectl("delete", "lm", row.name, "-n", namespace)
