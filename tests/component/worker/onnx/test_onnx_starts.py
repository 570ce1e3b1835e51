"""Which file is loaded, and what is said of files that cannot be."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from lepton.v1 import control_pb2, control_pb2_grpc, text_pb2, text_pb2_grpc
from lepton_testing.hub import Hub, Shelf
from lepton_testing.onnx_models import copied, with_external_data, with_whole_number_weights
from lepton_testing.worker_process import WorkerProcess
from lepton_worker.backends.base import EncodeInput, LoadOrder
from lepton_worker.backends.onnx import session
from lepton_worker.backends.onnx.backend import OnnxBackend
from lepton_worker.backends.onnx.session import CPU, CUDA, choose_providers, size_of
from lepton_worker.errors import (
    InvalidSetting,
    LoadError,
    LoadOutOfMemory,
    TaskNotSupported,
    WeightsCorrupt,
    WeightsMissing,
)
from lepton_worker.request import Task, Tokens

pytestmark = pytest.mark.component

Exported = Callable[[str], Path]
Change = Callable[[Path], None]


def cut_short(folder: Path) -> None:
    whole = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(whole[: len(whole) // 2])


def emptied(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"")


def removed(folder: Path) -> None:
    (folder / "model.onnx").rename(folder / "other.onnx")


def without_data(folder: Path) -> None:
    with_external_data(folder).unlink()


def data_cut_short(folder: Path) -> None:
    data = with_external_data(folder)
    data.write_bytes(data.read_bytes()[:1000])


def edited(edit: Callable[[Any], None]) -> Change:
    def change(folder: Path) -> None:
        graph = onnx.load(folder / "model.onnx")
        edit(graph)
        onnx.save(graph, folder / "model.onnx")

    return change


def unknown_operator(graph: Any) -> None:
    graph.graph.node[3].op_type = "Unheard"


def newer(graph: Any) -> None:
    graph.ir_version = 99


def not_finite(graph: Any) -> None:
    for weights in graph.graph.initializer:
        if weights.name.endswith("word_embeddings.weight"):
            array = np.full(onnx.numpy_helper.to_array(weights).shape, np.nan, np.float32)
            weights.CopyFrom(onnx.numpy_helper.from_array(array, weights.name))
            return
    raise AssertionError("there are no embeddings")


def other_labels(folder: Path) -> None:
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"2": "entailment"', '"2": "x", "3": "y"'))


def nothing(folder: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("change", "order", "kind", "words"),
    [
        (cut_short, {}, WeightsCorrupt, "model.onnx cannot be loaded"),
        (emptied, {}, WeightsCorrupt, "Export, fetch or copy it again"),
        (removed, {}, WeightsMissing, "which quantization auto takes; it has other.onnx"),
        (nothing, {"quantization": "int8"}, WeightsMissing, "it has model.onnx"),
        (without_data, {}, WeightsMissing, "keeps weights in model.onnx_data, which is not beside"),
        (data_cut_short, {}, WeightsCorrupt, "model.onnx cannot be loaded"),
        (edited(unknown_operator), {}, TaskNotSupported, "does not run"),
        (edited(newer), {}, TaskNotSupported, "older opset, or use a newer onnxruntime"),
        (edited(not_finite), {}, WeightsCorrupt, "numbers that are not finite"),
        (other_labels, {}, WeightsCorrupt, "gives 3 logits, and config.json names 4 labels"),
        (nothing, {"task": Task.TAG}, TaskNotSupported, "task tag needs logits with 3 axes"),
        (nothing, {"task": Task.GENERATE}, TaskNotSupported, "choose backend auto, with the wei"),
        (nothing, {"device": "cuda"}, InvalidSetting, "onnxruntime-gpu is the package with CUDA"),
        (nothing, {"dtype": "bfloat16"}, InvalidSetting, "model.onnx answers in float32"),
        (nothing, {"max_length": 97}, InvalidSetting, "the model takes 96"),
        (nothing, {"memory": 1000}, LoadOutOfMemory, "raise the memory limit"),
    ],
    ids=lambda value: getattr(value, "__name__", "")[:20],
)
def test_what_cannot_be_loaded_is_told(
    exported: Exported,
    tmp_path: Path,
    change: Change,
    order: dict[str, Any],
    kind: type[LoadError],
    words: str,
) -> None:
    folder = copied(exported("classify"), tmp_path / "model")
    change(folder)
    with pytest.raises(LoadError) as caught:
        opened(folder, **order)
    assert type(caught.value) is kind
    assert words in caught.value.message


def opened(folder: Path, task: Task = Task.CLASSIFY, **more: Any) -> tuple[OnnxBackend, Any]:
    backend = OnnxBackend()
    facts = backend.load(LoadOrder(folder, task, **more))
    backend.warm_up()
    return backend, facts


def test_external_data_is_read_and_counted(exported: Exported, tmp_path: Path) -> None:
    folder = copied(exported("classify"), tmp_path / "model")
    item = EncodeInput(Tokens((5, 6, 7)))
    right = opened(folder)[0].encode([item])[0]
    data = with_external_data(folder)
    graph = folder / "model.onnx"
    assert size_of(graph) == graph.stat().st_size + data.stat().st_size
    assert np.array_equal(opened(folder)[0].encode([item])[0], right)  # type: ignore[arg-type]


def test_int8_is_computed_one_by_one_and_close(exported: Exported, tmp_path: Path) -> None:
    folder = copied(exported("classify"), tmp_path / "model")
    with_whole_number_weights(folder)
    backend, facts = opened(folder, quantization="int8")
    assert facts.choices["file"] == "model_quantized.onnx: for quantization int8"
    assert facts.choices["batches"].startswith("one by one: neighbours change answers by")
    assert facts.choices["step_tokens"] == "one input in a forward"
    inputs = [EncodeInput(Tokens(tuple(range(5, 5 + length)))) for length in (9, 30, 10)]
    together: Any = backend.encode(inputs)
    exact: Any = opened(folder)[0].encode(inputs)
    for item, answer, right in zip(inputs, together, exact, strict=True):
        assert np.array_equal(answer, backend.encode([item])[0])  # type: ignore[arg-type]
        assert 0 < np.abs(answer - right).max() <= 0.2 * np.abs(right).max()


def test_adapters_are_refused(exported: Exported, tmp_path: Path) -> None:
    backend, _ = opened(exported("classify"))
    with pytest.raises(InvalidSetting, match="backend auto does, with the weights as safetensors"):
        backend.load_adapter("a", tmp_path, "a")
    backend.unload_adapter("a")
    backend.close()


@pytest.mark.parametrize(
    ("device", "available", "wanted"),
    [
        ("auto", [CPU], [CPU]),
        ("auto", [CUDA, CPU], [CUDA, CPU]),
        ("cpu", [CUDA, CPU], [CPU]),
        ("cuda", [CUDA, CPU], [CUDA, CPU]),
    ],
)
def test_providers(device: str, available: list[str], wanted: list[str]) -> None:
    assert choose_providers(device, available) == wanted


def test_threads_sleep_while_they_wait_and_no_shape_is_kept() -> None:
    options = session._options(3)
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert not options.enable_mem_pattern


# ------------------------------------------------------------------ the real process
def test_only_the_graph_is_fetched_and_torch_is_not_imported(
    exported: Exported, tmp_path: Path
) -> None:
    shelf = copied(exported("classify"), tmp_path / "shelf", keep_safetensors=True)
    with_external_data(shelf)
    (shelf / "onnx").mkdir()
    for name in ("model.onnx", "model.onnx_data"):
        (shelf / name).rename(shelf / "onnx" / name)
    (shelf / "onnx" / "model_quantized.onnx").write_bytes(b"never fetched")
    with Hub(Shelf(shelf)) as hub:
        home = tmp_path / "home"
        home.mkdir()
        environment = {"HF_ENDPOINT": hub.address}
        with WorkerProcess(
            home, environment, source="hf://books/encoder@v1", backend="onnxruntime"
        ) as worker:
            worker.awaits("serving")
            request = text_pb2.ClassifyRequest(inputs=["one", "two and three"])
            answer = text_pb2_grpc.TextStub(worker.channel).Classify(request)
            assert len(answer.results) == 2
            info = control_pb2_grpc.ControlStub(worker.channel).GetModelInfo(
                control_pb2.GetModelInfoRequest()
            )
            assert info.choices["file"] == "onnx/model.onnx: for quantization auto"
            assert not [line for line in mapped_by(worker) if "libtorch" in line]
        assert sorted(hub.fetched) == [
            "config.json",
            "onnx/model.onnx",
            "onnx/model.onnx_data",
            "tokenizer.json",
            "tokenizer_config.json",
        ]


def mapped_by(worker: WorkerProcess) -> list[str]:
    """Files that the worker's processes have mapped: the front, the zygote and the engine."""
    found: list[str] = []
    todo = [worker._process.pid]
    while todo:
        process = Path("/proc") / str(todo.pop())
        found += (process / "maps").read_text().splitlines()
        for thread in os.listdir(process / "task"):
            children = (process / "task" / thread / "children").read_text()
            todo += [int(child) for child in children.split()]
    assert [line for line in found if "onnxruntime" in line]
    return found
