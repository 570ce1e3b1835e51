"""Models from a hub: the hub's own client against a small hub on this machine."""

import shutil
import socket
from pathlib import Path

import pytest

from lepton.v1 import control_pb2, control_pb2_grpc, text_pb2, text_pb2_grpc
from lepton_testing.hub import Hub, Shelf
from lepton_testing.worker_process import WorkerProcess

pytestmark = pytest.mark.component

TOKEN = "hf_secret_of_the_test"


@pytest.fixture
def shelf(tmp_path: Path, samples: Path) -> Path:
    """A model with what else lies about in a repository."""
    folder = tmp_path / "shelf"
    shutil.copytree(samples / "sentence-encoder", folder)
    (folder / "pytorch_model.bin").write_bytes(b"never fetched")
    (folder / "README.md").write_text("never fetched")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "config.json").write_text("{}")
    return folder


def worker_of(home: Path, hub: str, source: str, **environment: str) -> WorkerProcess:
    home.mkdir(exist_ok=True)
    return WorkerProcess(home, {"HF_ENDPOINT": hub, **environment}, source=source, drain_seconds=0)


def test_only_what_is_needed_is_fetched_and_once(tmp_path: Path, shelf: Path) -> None:
    home = tmp_path / "home"
    with Hub(Shelf(shelf, token=TOKEN)) as hub:
        with worker_of(home, hub.address, "hf://books/encoder@v1", HF_TOKEN=TOKEN) as worker:
            worker.awaits("serving")
            channel = worker.channel
            answer = text_pb2_grpc.TextStub(channel).Embed(text_pb2.EmbedRequest(inputs=["a"]))
            assert answer.dimensions == 128  # two poolings of 64: the nested files are there
            info = control_pb2_grpc.ControlStub(channel).GetModelInfo(
                control_pb2.GetModelInfoRequest()
            )
            assert info.source == "hf://books/encoder@v1"
            worker.tell()
            assert worker.ended() == 0
            assert TOKEN not in "".join(worker.log)
        assert sorted(hub.fetched) == [
            "1_Pooling/config.json",
            "config.json",
            "model.safetensors",
            "modules.json",
            "sentence_bert_config.json",
            "tokenizer.json",
            "tokenizer_config.json",
        ]
        assert {path.name for path in home.iterdir()} <= {"cache", "termination-log"}
        hub.fetched.clear()
        with worker_of(home, hub.address, "hf://books/encoder@v1", HF_TOKEN=TOKEN) as worker:
            worker.awaits("start-up: import")
        assert hub.fetched == []
        # A hub that fails is no reason to stop while the cache has everything.
        hub.broken = True
        with worker_of(home, hub.address, "hf://books/encoder@v1", HF_TOKEN=TOKEN) as worker:
            worker.awaits("start-up: import")


@pytest.mark.parametrize(
    ("source", "gated", "reason", "words"),
    [
        ("hf://books/none", False, "SourceNotFound", "knows no model books/none, or it is private"),
        ("hf://books/encoder", False, "SourceNotFound", "or it is private"),
        ("hf://books/encoder", True, "SourceNotFound", "books/encoder is gated"),
    ],
)
def test_what_the_hub_does_not_give_is_told(
    tmp_path: Path, shelf: Path, source: str, gated: bool, reason: str, words: str
) -> None:
    with (
        Hub(Shelf(shelf, token=TOKEN, gated=gated)) as hub,
        worker_of(tmp_path, hub.address, source) as worker,
    ):
        assert worker.ended() == 1
        said = worker.last_words()
        assert said[0] == reason
        assert words in said[1]
        assert hub.address in said[1]


def test_a_revision_that_is_not_there_is_told(tmp_path: Path, shelf: Path) -> None:
    with (
        Hub(Shelf(shelf)) as hub,
        worker_of(tmp_path, hub.address, "hf://books/encoder@v9") as worker,
    ):
        assert worker.ended() == 1
        reason, message = worker.last_words()
        assert (reason, message) == (
            "SourceNotFound",
            f"books/encoder on {hub.address} has no revision v9",
        )


def test_a_hub_that_fails_is_unreachable(tmp_path: Path, shelf: Path) -> None:
    with (
        Hub(Shelf(shelf), broken=True) as hub,
        worker_of(tmp_path, hub.address, "hf://books/encoder") as worker,
    ):
        assert worker.ended() == 1
        reason, message = worker.last_words()
        assert reason == "SourceUnreachable"
        assert "Check network, proxy and HF_ENDPOINT" in message


def test_a_hub_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with worker_of(tmp_path, address, "hf://books/encoder") as worker:
            assert worker.ended() == 1
            assert worker.last_words()[0] == "SourceUnreachable"


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, shelf: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with (
        Hub(Shelf(shelf)) as hub,
        worker_of(tmp_path, hub.address, "hf://books/encoder") as worker,
    ):
        assert worker.ended() == 1
        reason, message = worker.last_words()
        assert reason == "SourceUnreachable"
        assert "could not be stored in" in message
        assert str(tmp_path / "cache") in message
