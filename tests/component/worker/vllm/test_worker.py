"""The whole worker with vLLM inside: asked over gRPC, watched, cancelled, killed, refused."""

import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from lepton.v1 import control_pb2, control_pb2_grpc, generation_pb2, generation_pb2_grpc
from lepton_testing import inference
from lepton_testing.vllm_models import write_model
from lepton_testing.worker_process import WorkerProcess
from lepton_worker.serving.inference.tensors import from_raw

pytestmark = pytest.mark.component

START = 200.0
VLLM: dict[str, Any] = {"backend": "vllm", "device": "cpu", "drain_seconds": 0}
TEXT = "The harbour opens at seven."


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def served(
    request: pytest.FixtureRequest, folders: dict[str, Path], tmp_path_factory: Any
) -> Iterator[tuple[WorkerProcess, Path]]:
    folder = folders[request.param]
    chosen = {**VLLM, "max_batch_size": 2, "max_queue_depth": 16}
    with WorkerProcess(tmp_path_factory.mktemp("w"), source=folder, **chosen) as worker:
        worker.awaits(" serving", START)
        yield worker, folder
        worker.tell()
        assert worker.ended() == 0


def generate(worker: WorkerProcess, text: str, new: int, **sampling: Any) -> Any:
    asked = generation_pb2.Sampling(max_new_tokens=new, **sampling)
    request = generation_pb2.GenerateRequest(text=text, sampling=asked)
    return generation_pb2_grpc.GenerationStub(worker.channel).Generate(request, timeout=60)


def tokens(stream: Any) -> list[int]:
    return [token for event in stream for token in event.delta.token_ids]


def expected(folder: Path, text: str, new: int) -> tuple[list[int], str]:
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    inputs = tokenizer(text, return_tensors="pt")
    made = model.generate(**inputs, max_new_tokens=new, do_sample=False)[0]
    ids = made[inputs.input_ids.shape[1] :].tolist()
    return ids, str(tokenizer.decode(ids, skip_special_tokens=True))


def metric(worker: WorkerProcess, name: str) -> float:
    port = worker.awaits(r"metrics on port (\d+)")[1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.split("{")[0] == name)


def reason(error: grpc.RpcError) -> str:
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(error)
    assert status.details[0].Unpack(info)
    return str(info.reason)


def test_answers_equal_transformers(served: tuple[WorkerProcess, Path]) -> None:
    worker, folder = served
    streams = [generate(worker, f"{TEXT} {number}", 12 + number) for number in range(5)]
    for number, stream in enumerate(streams):
        events = list(stream)
        ids, text = expected(folder, f"{TEXT} {number}", 12 + number)
        assert [token for event in events for token in event.delta.token_ids] == ids
        assert "".join(event.delta.text for event in events) == text


def test_who_runs_it_is_said(served: tuple[WorkerProcess, Path]) -> None:
    stub = control_pb2_grpc.ControlStub(served[0].channel)
    info = stub.GetModelInfo(control_pb2.GetModelInfoRequest(), timeout=10)
    assert info.choices["backend"].startswith("vllm ")
    assert "vLLM's own scheduler" in info.choices["batches"]


def test_stop_strings_and_several_answers(served: tuple[WorkerProcess, Path]) -> None:
    worker, folder = served
    _, whole = expected(folder, TEXT, 30)
    stop = whole[8:11]
    events = list(generate(worker, TEXT, 30, stop=[stop]))
    assert "".join(event.delta.text for event in events) == whole[: whole.index(stop)]
    several = list(generate(worker, TEXT, 6, n=3, temperature=1.0, seed=5, ignore_eos=True))
    answers = dict.fromkeys(range(3), "")
    for event in several:
        if event.HasField("delta"):
            answers[event.delta.choice] += str(list(event.delta.token_ids))
    assert len(set(answers.values())) == 3


def test_metrics_count_what_vllm_did(served: tuple[WorkerProcess, Path]) -> None:
    worker, _ = served
    before = metric(worker, "lepton_generated_tokens_total")
    list(generate(worker, TEXT, 9, ignore_eos=True))
    assert metric(worker, "lepton_generated_tokens_total") == before + 9
    assert metric(worker, "lepton_time_to_first_token_seconds_count") > 0
    assert metric(worker, "lepton_prefill_tokens_total") > 0


def test_a_caller_that_hangs_up_leaves_nothing(served: tuple[WorkerProcess, Path]) -> None:
    worker, folder = served
    for _ in range(6):  # more than can run
        stream = generate(worker, TEXT, 200, ignore_eos=True)
        next(stream)
        next(stream)
        stream.cancel()
    assert tokens(generate(worker, TEXT, 10)) == expected(folder, TEXT, 10)[0]


def test_a_killed_engine_is_replaced(served: tuple[WorkerProcess, Path]) -> None:
    """Tokens come while a text goes on, or none would be there when the engine ends."""
    worker, folder = served
    running = generate(worker, TEXT, 200, ignore_eos=True)
    while not next(running).delta.token_ids:
        pass
    front, zygote, engine = worker.processes()
    os.kill(engine, signal.SIGKILL)
    with pytest.raises(grpc.RpcError) as caught:
        list(running)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason(caught.value) == "ENGINE_LOST"
    assert tokens(generate(worker, TEXT, 10)) == expected(folder, TEXT, 10)[0]
    again = worker.processes()
    assert again[:2] == (front, zygote)
    assert again[2] != engine
    assert metric(worker, "lepton_engine_restarts_total") == 1


def test_the_other_protocol(served: tuple[WorkerProcess, Path]) -> None:
    worker, folder = served
    asked = inference.request("model", [TEXT], parameters={"max_tokens": 8})
    answer = inference.infer(worker.channel, asked, timeout=60)
    named = zip((item.name for item in answer.outputs), answer.raw_output_contents, strict=True)
    [text] = from_raw("BYTES", 1, dict(named)["text_output"])
    assert bytes(text).decode() == expected(folder, TEXT, 8)[1]


def test_auto_without_a_gpu_is_native(folders: dict[str, Path], tmp_path: Path) -> None:
    with WorkerProcess(tmp_path, source=folders["llama"], drain_seconds=0) as worker:
        worker.awaits(r"chosen backend: native", START)
        assert tokens(generate(worker, TEXT, 10)) == expected(folders["llama"], TEXT, 10)[0]


@pytest.mark.parametrize(
    ("chosen", "generation", "words"),
    [
        ({"device": "auto"}, {}, ("InvalidSetting", "spec.resources.gpu")),
        ({"device": "cpu", "task": "embed"}, {}, ("TaskNotSupported", "generation alone")),
        ({"device": "cpu"}, {"no_repeat_ngram_size": 3}, ("TaskNotSupported", "no_repeat_ngram")),
    ],
)
def test_what_vllm_cannot_serve_is_refused(
    tmp_path: Path, chosen: dict[str, Any], generation: dict[str, Any], words: tuple[str, str]
) -> None:
    folder = write_model(tmp_path / "model", "llama", **generation)
    check_refused(folder, tmp_path, chosen, words)


def test_weights_that_are_not_there_are_missed(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", "llama")
    file, lost = folder / "model.safetensors", "model.layers.1.mlp.down_proj.weight"
    tensors = load_file(file)
    del tensors[lost]
    save_file(tensors, file, metadata={"format": "pt"})
    check_refused(folder, tmp_path, {}, ("WeightsMissing", lost))


def check_refused(
    folder: Path, tmp_path: Path, chosen: dict[str, Any], words: tuple[str, str]
) -> None:
    with WorkerProcess(tmp_path, source=folder, **{**VLLM, **chosen}) as worker:
        assert worker.ended(START) != 0
        kind, message = worker.last_words()
    assert kind == words[0]
    assert words[1] in message
