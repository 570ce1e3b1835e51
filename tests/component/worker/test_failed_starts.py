"""Every way in which a start can fail, by the real process: exit status and last words."""

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lepton_testing.worker_process import WorkerProcess
from lepton_worker.source.weights import SINGLE

# All starts happen in the first test's set-up, and a crowded machine is slow to import.
pytestmark = [pytest.mark.component, pytest.mark.timeout(600)]

Change = Callable[[Path], None]


def rewritten(name: str, **fields: Any) -> Change:
    """Change fields of a JSON file of the model."""

    def change(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**content, **fields}))

    return change


def removed(*names: str) -> Change:
    def change(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return change


def replaced(name: str, content: bytes) -> Change:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return change


def cut_short(folder: Path) -> None:
    whole = (folder / SINGLE).read_bytes()
    (folder / SINGLE).write_bytes(whole[: len(whole) - 1000])


def without_tensors(*words: str) -> Change:
    def change(folder: Path) -> None:
        tensors = load_file(folder / SINGLE)
        kept = {
            name: value
            for name, value in tensors.items()
            if not any(word in name for word in words)
        }
        assert len(kept) < len(tensors)
        save_file(kept, folder / SINGLE, metadata={"format": "pt"})

    return change


def not_finite(folder: Path) -> None:
    tensors = load_file(folder / SINGLE)
    save_file(
        {name: torch.full_like(value, torch.nan) for name, value in tensors.items()},
        folder / SINGLE,
        metadata={"format": "pt"},
    )


def pickled(folder: Path) -> None:
    (folder / SINGLE).rename(folder / "pytorch_model.bin")


def enormous(folder: Path) -> None:
    """A file with a hole of 4 TiB: whole by its header, and more than any machine has."""
    size = 2**42
    header = {"huge": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}
    text = json.dumps(header).encode()
    with (folder / SINGLE).open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + size)


def nothing(folder: Path) -> None:
    pass


@dataclass(frozen=True)
class Case:
    """A sample, what is done to it, the settings, and what the worker says of it."""

    name: str
    sample: str
    change: Change
    settings: dict[str, Any]
    reason: str
    words: str


@dataclass(frozen=True)
class Failure:
    """How a worker ended."""

    status: int
    reason: str
    message: str
    log: str


CASES = [
    Case("no-folder", "llama", shutil.rmtree, {}, "SourceNotFound", "is not there"),
    Case("no-config", "llama", removed("config.json"), {}, "WeightsMissing", "no config.json"),
    Case("no-weights", "llama", removed(SINGLE), {}, "WeightsMissing", "has neither"),
    Case("pickle", "llama", pickled, {}, "WeightsMissing", "never loaded; convert"),
    Case("cut", "llama", cut_short, {}, "WeightsCorrupt", "it was cut short or damaged"),
    Case(
        "random", "llama", replaced(SINGLE, bytes(range(256)) * 99), {}, "WeightsCorrupt", "is no s"
    ),
    Case(
        "bad-config", "llama", replaced("config.json", b"{]"), {}, "WeightsCorrupt", "is not JSON"
    ),
    Case(
        "no-tokenizer",
        "bert-encoder",
        removed("tokenizer.json"),
        {},
        "WeightsMissing",
        "has no tokenizer",
    ),
    Case(
        "bad-tokenizer",
        "bert-encoder",
        replaced("tokenizer.json", b'{"model": 1}'),
        {},
        "WeightsCorrupt",
        "the tokenizer in",
    ),
    Case(
        "no-layer",
        "llama",
        without_tensors("layers.1.mlp"),
        {},
        "WeightsMissing",
        "lacks model.layers.1.mlp.down_proj.weight, model.layers.1.mlp.gate_proj.weight",
    ),
    Case(
        "no-head",
        "bert-classifier",
        without_tensors("classifier"),
        {},
        "WeightsMissing",
        "lacks classifier.bias, classifier.weight, which task classify needs",
    ),
    Case(
        "other-shape",
        "distilbert-classifier",
        rewritten("config.json", hidden_dim=96),
        {},
        "WeightsCorrupt",
        "config.json",
    ),
    Case("not-finite", "bert-encoder", not_finite, {}, "WeightsCorrupt", "are not finite"),
    Case(
        "wrong-task",
        "bert-encoder",
        nothing,
        {"task": "generate"},
        "TaskNotSupported",
        "BertModel has no head for generation; offered are",
    ),
    Case(
        "own-code",
        "bert-encoder",
        rewritten("config.json", model_type="own", auto_map={"AutoModel": "own.Model"}),
        {},
        "TaskNotSupported",
        "code of their own are not run",
    ),
    Case(
        "too-long",
        "gpt2",
        nothing,
        {"max_model_length": 9999},
        "InvalidSetting",
        "9999 was asked for, and the model takes 256",
    ),
    Case(
        "no-gpu", "gpt2", nothing, {"device": "cuda"}, "InvalidSetting", "this worker sees no GPU"
    ),
    Case(
        "bad-setting", "gpt2", nothing, {"dtype": "int4"}, "InvalidSetting", "LEPTON_DTYPE must be"
    ),
    Case("no-source", "gpt2", nothing, {"source": ""}, "InvalidSetting", "set LEPTON_SOURCE"),
    Case(
        "bad-address", "gpt2", nothing, {"source": "hf://a/b/c"}, "InvalidSetting", "no hub address"
    ),
    Case("too-large", "bert-encoder", enormous, {}, "OutOfMemory", "take 4096.0 GiB as float32"),
]


def failed(case: Case, samples: Path, root: Path) -> Failure:
    """Start a worker on the changed sample and wait for its end."""
    home = root / case.name
    shutil.copytree(samples / case.sample, home / "model")
    case.change(home / "model")
    chosen = {"source": home / "model", **case.settings}
    with WorkerProcess(home, {"CUDA_VISIBLE_DEVICES": ""}, **chosen) as worker:
        status = worker.ended()
        return Failure(status, *worker.last_words(), "".join(worker.log))


@pytest.fixture(scope="module")
def failures(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Failure]:
    """All of them, several at a time: most of each is imports."""
    root = tmp_path_factory.mktemp("failures")
    with ThreadPoolExecutor(3) as threads:
        ended = threads.map(lambda case: failed(case, samples, root), CASES)
        return {case.name: failure for case, failure in zip(CASES, ended, strict=True)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_failed_start_says_why(failures: dict[str, Failure], case: Case) -> None:
    failure = failures[case.name]
    assert failure.status == 1
    assert failure.reason == case.reason
    assert case.words in failure.message
    # The log has the same words, for those who look there, and nothing of the inside.
    assert f"{case.reason}: {failure.message}" in failure.log
    assert "Traceback" not in failure.log


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize("setting", ["grpc_port", "metrics_port"])
def test_a_port_that_is_taken_is_named(tmp_path: Path, taken_port: int, setting: str) -> None:
    ports: dict[str, Any] = {setting: taken_port}
    with WorkerProcess(tmp_path, backend="echo", **ports) as worker:
        assert worker.ended() == 1
        reason, message = worker.last_words()
        assert reason == "InvalidSetting"
        assert str(taken_port) in message
