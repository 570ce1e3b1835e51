"""How each contestant is started, with the settings that its documentation recommends."""

import json
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lepton_bench.engine.contestants import Contestant, Engine, Server
from lepton_bench.engine.grpc_target import GrpcTarget
from lepton_bench.engine.http_target import JsonTarget, OpenAiTarget
from lepton_bench.engine.installs import (
    CTRANSLATE2,
    GGUF,
    KSERVE,
    LITSERVE,
    LLAMA,
    MLSERVER,
    ONNX,
    OPENVINO,
    OPENVINO_GENAI,
    SERVE,
    export_gguf,
    export_onnx,
    gguf_file,
    module,
    onnx_file,
)
from lepton_bench.engine.models import CACHE, Shape
from lepton_bench.engine.order import Cores
from lepton_bench.engine.processes import Child, single_purpose
from lepton_bench.engine.worker_help import quantization
from lepton_bench.engine.workload import Item

LOGS = CACHE / "bench-logs"

CB = ("--continuous-batching", "--cb-num-blocks", "64", "--cb-max-batch-tokens", "512")
"""Cache of 16 k tokens; by default it takes most of the machine's memory."""


SLOTS = 16
"""Texts that llama.cpp's server has room for at once, each of the model's longest."""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Roster:
    """Makes contestants for one machine."""

    cores: Cores
    worker: tuple[str, ...]
    offered: frozenset[str]
    """Values of the worker's option `--quantization`; empty when it has none."""

    @property
    def threads(self) -> int:
        """Threads of each contestant."""
        return len(self.cores.server)

    def ours(self, shape: Shape, weights: str, *, batch: int = 32) -> Server:
        """The worker with its weights held in one of the ways of `options.OURS`."""
        port = free_port()
        # fmt: off
        command = [
            *self.worker, "--source", str(shape.folder), "--host", "127.0.0.1",
            "--port", str(port), "--metrics-port", str(free_port()), "--backend", "auto",
            "--threads", str(self.threads), "--dtype", "float32",
            "--max-batch-size", str(batch), "--drain-seconds", "0",
        ]
        # fmt: on
        if self.offered:
            command += ["--quantization", quantization(weights)]
        return Server(
            f"lepton-{weights}",
            self._spawner(f"lepton-{weights}", command),
            lambda: GrpcTarget(port, shape.task),
        )

    def holds(self, weights: str) -> bool:
        """Whether the worker can hold its weights so; any can as float32."""
        return weights == "float32" or quantization(weights) in self.offered

    def metrics_of(self, server: Server) -> str:
        """Address of the metrics of a running worker of ours."""
        arguments: Any = server.child.process.args
        return f"http://127.0.0.1:{arguments[arguments.index('--metrics-port') + 1]}/metrics"

    def peer(self, name: str, shape: Shape) -> Contestant:
        """A peer by its name."""
        makers: dict[str, Callable[[Shape], Contestant]] = {
            "litserve-8": lambda shape: self._litserve(shape, 8),
            "litserve-32": lambda shape: self._litserve(shape, 32),
            "mlserver": self._mlserver,
            "kserve": self._kserve,
            "onnxruntime": lambda shape: self._onnxruntime(shape, ".onnx"),
            "onnxruntime-int8": lambda shape: self._onnxruntime(shape, ".int8.onnx"),
            "openvino": self._openvino,
            "transformers-serve": lambda shape: self._serve(shape, ()),
            "transformers-serve-cb": lambda shape: self._serve(shape, CB),
            "transformers-cb": self._batching,
            "ctranslate2": self._ctranslate2,
            "llama-cpp": lambda shape: self._llama(shape, "llama-cpp", "f16"),
            "llama-cpp-bf16": lambda shape: self._llama(shape, "llama-cpp-bf16", "bf16"),
            "llama-cpp-int8": lambda shape: self._llama(shape, "llama-cpp-int8", "q8_0"),
            "openvino-genai": lambda shape: self._genai(shape, "openvino-genai", "f16", "f32"),
            "openvino-genai-bf16": lambda shape: self._genai(
                shape, "openvino-genai-bf16", "f16", "bf16"
            ),
            "openvino-genai-int8": lambda shape: self._genai(shape, "openvino-genai-int8", "q8_0"),
        }
        return makers[name](shape)

    def _spawner(
        self,
        name: str,
        command: Sequence[str],
        *before: Callable[[], object],
        talks: bool = False,
    ) -> Callable[[], Child]:
        def spawn() -> Child:
            for step in before:
                step()
            environment = single_purpose(self.threads)
            log = LOGS / f"{name}.log"
            return Child(command, self.cores.server, log, environment, talks=talks)

        return spawn

    def _litserve(self, shape: Shape, batch: int) -> Contestant:
        port, name = free_port(), f"litserve-{batch}"
        command = module(LITSERVE, "litserve_server", shape.folder, shape.task, port, batch)
        return Server(
            name,
            self._spawner(name, command, LITSERVE.ensure),
            lambda: JsonTarget(
                f"http://127.0.0.1:{port}/predict",
                lambda item: {"text": item.text},
                lambda answer: list(answer["values"]),
            ),
        )

    def _kserve(self, shape: Shape) -> Contestant:
        port = free_port()
        command = module(KSERVE, "kserve_server", shape.folder, shape.task, port)
        return Server(
            "kserve",
            self._spawner("kserve", command, KSERVE.ensure),
            lambda: JsonTarget(
                f"http://127.0.0.1:{port}/v1/models/model:predict",
                lambda item: {"instances": [item.text]},
                lambda answer: list(answer["predictions"][0]),
            ),
        )

    def _mlserver(self, shape: Shape) -> Contestant:
        port = free_port()
        folder = LOGS / "model"  # it wants the model's name
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in mlserver_settings(shape, port).items():
            (folder / file).write_text(json.dumps(content))
        return Server(
            "mlserver",
            self._spawner(
                "mlserver", [MLSERVER.program("mlserver"), "start", str(folder)], MLSERVER.ensure
            ),
            lambda: JsonTarget(
                f"http://127.0.0.1:{port}/v2/models/model/infer",
                _v2_body,
                lambda answer: list(answer["outputs"][0]["data"]),
            ),
        )

    def _onnxruntime(self, shape: Shape, suffix: str) -> Contestant:
        file = onnx_file(shape).with_suffix(suffix)
        name = "onnxruntime-int8" if "int8" in suffix else "onnxruntime"
        command = module(ONNX, "onnxruntime_engine", shape.folder, file, self.threads)
        steps = (ONNX.ensure, lambda: export_onnx(shape))
        return Engine(name, self._spawner(name, command, *steps, talks=True))

    def _openvino(self, shape: Shape) -> Contestant:
        command = module(OPENVINO, "openvino_engine", shape.folder, onnx_file(shape), self.threads)
        steps = (OPENVINO.ensure, ONNX.ensure, lambda: export_onnx(shape))
        return Engine("openvino", self._spawner("openvino", command, *steps, talks=True))

    def _ctranslate2(self, shape: Shape) -> Contestant:
        converted = shape.folder / "ctranslate2"
        command = module(
            CTRANSLATE2, "ctranslate2_engine", shape.folder, converted, "int8", self.threads
        )
        spawn = self._spawner("ctranslate2", command, CTRANSLATE2.ensure, talks=True)
        return Engine("ctranslate2", spawn)

    def _genai(self, shape: Shape, name: str, kind: str, *hint: str) -> Contestant:
        file = gguf_file(shape, kind)
        command = module(
            OPENVINO_GENAI, "openvino_genai_engine", shape.folder, file, self.threads, *hint
        )
        steps = (OPENVINO_GENAI.ensure, GGUF.ensure, lambda: export_gguf(shape, kind))
        return Engine(name, self._spawner(name, command, *steps, talks=True))

    def _llama(self, shape: Shape, name: str, kind: str) -> Contestant:
        port = free_port()
        # fmt: off
        command = [
            str(LLAMA.program), "--model", str(gguf_file(shape, kind)), "--host", "127.0.0.1",
            "--port", str(port), "--threads", str(self.threads),
            "--threads-batch", str(self.threads), "--parallel", str(SLOTS),
            "--ctx-size", str(SLOTS * shape.positions),
        ]
        # fmt: on
        steps = (LLAMA.ensure, GGUF.ensure, lambda: export_gguf(shape, kind))
        return Server(
            name,
            self._spawner(name, command, *steps),
            lambda: OpenAiTarget(f"http://127.0.0.1:{port}", "model", {"ignore_eos": True}),
        )

    def _batching(self, shape: Shape) -> Contestant:
        command = module(None, "batching_engine", shape.folder)
        return Engine("transformers-cb", self._spawner("transformers-cb", command, talks=True))

    def _serve(self, shape: Shape, flags: Sequence[str]) -> Contestant:
        port = free_port()
        name = "transformers-serve-cb" if flags else "transformers-serve"
        # fmt: off
        command = [
            SERVE.python, "-m", "transformers.cli.transformers", "serve", str(shape.folder),
            "--device", "cpu", "--dtype", "float32", "--host", "127.0.0.1", "--port", str(port),
            "--log-level", "error", *flags,
        ]
        # fmt: on
        return Server(
            name,
            self._spawner(name, command, SERVE.ensure),
            lambda: OpenAiTarget(f"http://127.0.0.1:{port}", str(shape.folder)),
        )


def mlserver_settings(shape: Shape, port: int) -> dict[str, dict[str, Any]]:
    """Its two files of settings: batches of up to 32 texts, waited for at most 10 ms."""
    return {
        "settings.json": {
            "http_port": port,
            "grpc_port": free_port(),
            "metrics_port": free_port(),
            "host": "127.0.0.1",
            "parallel_workers": 1,
        },
        "model-settings.json": {
            "name": "model",
            "implementation": "lepton_bench.engine.peers.mlserver_model.Runtime",
            "max_batch_size": 32,
            "max_batch_time": 0.01,
            "parameters": {"extra": {"folder": str(shape.folder), "task": shape.task}},
        },
    }


def _v2_body(item: Item) -> dict[str, Any]:
    text = {"name": "texts", "shape": [1], "datatype": "BYTES", "data": [item.text]}
    return {"inputs": [text]}
