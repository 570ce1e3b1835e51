"""Which ONNX file is taken, and when any is."""

import json
from fnmatch import fnmatch
from pathlib import Path

import pytest

from lepton_worker.backends import known_families
from lepton_worker.errors import InvalidSetting, TaskNotSupported, WeightsMissing
from lepton_worker.request import Task
from lepton_worker.source import find_source, onnx, weights_to_load
from lepton_worker.source.hub import SAFETENSORS
from lepton_worker.source.onnx import find_onnx, runs_onnx, wanted_of_hub
from lepton_worker.source.warm import warm
from lepton_worker.source.weights import SINGLE
from lepton_worker.tasks.choose import choose_task, nature

SOUND = (2).to_bytes(8, "little") + b"{}"


def a_folder(root: Path, *names: str) -> Path:
    folder = root / "model"
    (folder / "onnx").mkdir(parents=True)
    for name in (*names, "config.json", "tokenizer.json"):
        content = SOUND if name == SINGLE else json.dumps({}).encode()
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> bool:
    """Whether the worker has onnxruntime, whatever is installed here."""
    there = bool(request.param)
    monkeypatch.setattr(onnx, "installed", lambda: there)
    monkeypatch.setattr("lepton_worker.source.installed", lambda: there)
    return there


with_package = pytest.mark.parametrize("package", [True], indirect=True)
without_package = pytest.mark.parametrize("package", [False], indirect=True)


@pytest.mark.parametrize(
    ("files", "quantization", "found"),
    [
        (["model.onnx"], "auto", "model.onnx"),
        (["onnx/model.onnx"], "none", "onnx/model.onnx"),
        (["onnx/model.onnx", "model.onnx", "model_int8.onnx"], "auto", "model.onnx"),
        (["model.onnx", "model_int8.onnx"], "int8", "model_int8.onnx"),
        (["model_int8.onnx", "onnx/model_quantized.onnx"], "int8", "onnx/model_quantized.onnx"),
        (["onnx/model_int8.onnx", "model.onnx"], "int8", "onnx/model_int8.onnx"),
        (["model.onnx", "model_fp16.onnx"], "float16", "model_fp16.onnx"),
    ],
)
def test_the_file_of_a_quantization(
    tmp_path: Path, files: list[str], quantization: str, found: str
) -> None:
    folder = a_folder(tmp_path, *files)
    assert find_onnx(folder, quantization) == folder / found


def test_those_that_are_there_are_named_where_none_fits(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, "onnx/model.onnx", "other.onnx")
    with pytest.raises(WeightsMissing) as caught:
        find_onnx(folder, "int8")
    assert "no model_quantized.onnx or onnx/model_quantized.onnx" in caught.value.message
    assert "which quantization int8 takes; it has onnx/model.onnx, other.onnx" in str(caught.value)


def test_a_quantization_without_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="takes auto, none, float16, int8"):
        find_onnx(a_folder(tmp_path, "model.onnx"), "bfloat16")


@pytest.mark.parametrize(
    ("backend", "files", "package", "runs"),
    [
        ("onnxruntime", [SINGLE], True, True),
        ("onnxruntime", ["model.onnx"], True, True),
        ("auto", ["model.onnx"], True, True),
        ("auto", ["onnx/model.onnx"], True, True),
        ("auto", ["model.onnx"], False, False),
        ("auto", ["model.onnx", SINGLE], True, False),
        ("auto", [SINGLE], True, False),
        ("auto", [], True, False),
        ("native", ["model.onnx"], True, False),
        ("transformers", ["model.onnx"], True, False),
    ],
    indirect=["package"],
)
def test_when_onnx_is_served(
    tmp_path: Path, backend: str, files: list[str], package: bool, runs: bool
) -> None:
    assert runs_onnx(backend, a_folder(tmp_path, *files)) is runs


@with_package
@pytest.mark.parametrize("backend", ["onnxruntime", "auto"])
def test_a_folder_without_safetensors_is_sound(tmp_path: Path, package: bool, backend: str) -> None:
    folder = a_folder(tmp_path, "onnx/model.onnx")
    assert find_source(str(folder), tmp_path, backend) == folder
    assert weights_to_load(folder, backend, "auto") == ["onnx/model.onnx*"]


@with_package
@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("onnxruntime", "has no model.onnx or onnx/model.onnx"),
        ("native", "has neither model.safetensors"),
    ],
)
def test_a_folder_without_weights_is_not(
    tmp_path: Path, package: bool, backend: str, words: str
) -> None:
    with pytest.raises(WeightsMissing, match=words):
        find_source(str(a_folder(tmp_path)), tmp_path, backend)


@without_package
@pytest.mark.parametrize("backend", ["auto", "native"])
def test_without_the_package_the_way_out_is_told(
    tmp_path: Path, package: bool, backend: str
) -> None:
    folder = a_folder(tmp_path, "model.onnx")
    with pytest.raises(WeightsMissing, match="backend onnxruntime serves encoders"):
        find_source(str(folder), tmp_path, backend)
    with pytest.raises(InvalidSetting, match="install lepton with its extra onnx"):
        find_source(str(folder), tmp_path, "onnxruntime")


@pytest.mark.parametrize(
    ("backend", "on_hub", "package", "asked"),
    [
        ("onnxruntime", [SINGLE, "model.onnx"], True, [["model.onnx*", "onnx/model.onnx*"]]),
        ("auto", [SINGLE, "model.onnx"], True, [["*.safetensors"]]),
        ("native", [SINGLE], True, [["*.safetensors"]]),
        (
            "auto",
            ["model.onnx"],
            True,
            [["*.safetensors"], ["model.onnx*", "onnx/model.onnx*"]],
        ),
        ("auto", [SINGLE], False, [["*.safetensors"]]),
    ],
    indirect=["package"],
)
def test_a_hub_is_asked_for_one_form_of_the_weights(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    on_hub: list[str],
    package: bool,
    asked: list[list[str]],
) -> None:
    folder = a_folder(tmp_path)
    heard = []

    def fetch(source: str, cache_dir: Path, weights: list[str] = SAFETENSORS) -> Path:
        heard.append(list(weights))
        for name in on_hub:
            if any(fnmatch(name, pattern) for pattern in weights):
                (folder / name).write_bytes(SOUND)
        return folder

    monkeypatch.setattr("lepton_worker.source.fetch", fetch)
    assert find_source("hf://books/encoder", tmp_path, backend) == folder
    assert heard == asked


def test_what_a_hub_is_asked_for() -> None:
    assert wanted_of_hub("auto") == ["model.onnx*", "onnx/model.onnx*"]
    assert wanted_of_hub("bfloat16") == wanted_of_hub("none")
    assert "onnx/model_int8.onnx*" in wanted_of_hub("int8")


def test_the_weights_that_will_be_read_are_warmed(tmp_path: Path) -> None:
    folder = a_folder(tmp_path, SINGLE, "model.onnx", "model.onnx_data", "model_int8.onnx")
    (folder / "model.onnx_data").write_bytes(b"x" * 100)
    patterns = weights_to_load(folder, "onnxruntime", "auto")
    assert warm(folder, patterns) == 100 + (folder / "model.onnx").stat().st_size
    assert warm(folder, weights_to_load(folder, "auto", "auto")) == len(SOUND)


@pytest.mark.parametrize(
    ("config", "task"),
    [
        ({"model_type": "unheard", "architectures": ["UnheardForTokenClassification"]}, Task.TAG),
        ({"model_type": "unheard", "architectures": ["UnheardModel"]}, Task.EMBED),
        ({}, Task.EMBED),
        ({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}, Task.GENERATE),
        (
            {
                "model_type": "t5",
                "architectures": ["T5ForConditionalGeneration"],
                "is_encoder_decoder": True,
            },
            Task.GENERATE,
        ),
    ],
)
def test_a_graph_of_any_model_type_is_taken(config: dict[str, object], task: Task) -> None:
    read = nature(config, sentence_encoder=False)
    assert choose_task("auto", read, known_families("onnxruntime")(read.model_type)) is task


def test_a_head_that_is_not_there_is_refused() -> None:
    read = nature({"model_type": "bert", "architectures": ["BertModel"]}, sentence_encoder=False)
    with pytest.raises(TaskNotSupported, match="has no head for classification"):
        choose_task("classify", read, known_families("onnxruntime")("bert"))
