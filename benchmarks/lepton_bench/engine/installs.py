"""What peers need before they can be started: packages, programs, and our models in their forms."""

import sys
from pathlib import Path

from lepton_bench.engine.environments import Environment, Source, prepare
from lepton_bench.engine.models import Shape

SERVE = Environment(("openai==3.54.0", "fastapi==0.165.0", "uvicorn==0.54.0"))
LITSERVE = Environment(("litserve==0.2.19",))
KSERVE = Environment(("kserve==0.21.0",))
MLSERVER = Environment(("mlserver==1.7.1", "uvloop==0.21.0"))
"""Its worker processes ask for an event loop in a way that newer uvloop refuses."""
ONNX = Environment(("onnxruntime==1.32.0", "onnx==1.23.2", "onnxscript==0.7.2"))
OPENVINO = Environment(("openvino==2026.4.1",))
OPENVINO_GENAI = Environment(("openvino-genai==2026.4.1.0",))
CTRANSLATE2 = Environment(("ctranslate2==4.8.5",))
GGUF = Environment(("gguf==0.19.0",))
LLAMA = Source(
    "llama-cpp-python==0.3.36",
    within="vendor/llama.cpp",
    target="llama-server",
    flags=(
        "-DCMAKE_BUILD_TYPE=Release",
        # GCC 12 takes what a tile configuration is made of for dead stores, and AMX then faults.
        "-DCMAKE_CXX_FLAGS=-fno-dse -fno-tree-dse",
        "-DBUILD_SHARED_LIBS=OFF",
        "-DGGML_NATIVE=ON",
        "-DGGML_OPENMP=OFF",
        "-DLLAMA_BUILD_TESTS=OFF",
        "-DLLAMA_BUILD_EXAMPLES=OFF",
        "-DLLAMA_BUILD_APP=OFF",
        "-DLLAMA_BUILD_UI=OFF",
        "-DLLAMA_USE_PREBUILT_UI=OFF",
        "-DLLAMA_OPENSSL=OFF",
        "-DLLAMA_ALL_WARNINGS=OFF",
    ),
)
"""The package vendors llama.cpp whole; it is compiled for this very processor."""

ENVIRONMENTS = (
    SERVE,
    LITSERVE,
    KSERVE,
    MLSERVER,
    ONNX,
    OPENVINO,
    OPENVINO_GENAI,
    CTRANSLATE2,
    GGUF,
)


def module(environment: Environment | None, name: str, *arguments: object) -> list[str]:
    """Command of a program of ours inside a peer's environment, or inside this project's."""
    python = environment.python if environment else sys.executable
    return [python, "-m", f"lepton_bench.engine.peers.{name}", *map(str, arguments)]


def onnx_file(shape: Shape) -> Path:
    """Where an encoder lies as ONNX."""
    return shape.folder / "onnx" / "model.onnx"


def export_onnx(shape: Shape) -> None:
    """Write an encoder as ONNX, in float32 and int8, unless it is there."""
    if not onnx_file(shape).with_suffix(".int8.onnx").exists():
        command = module(ONNX, "export_onnx", shape.folder, shape.task, onnx_file(shape))
        prepare(command, "the export to ONNX")


def gguf_file(shape: Shape, kind: str) -> Path:
    """Where a decoder lies as GGUF, its matrices held as `f16` or `q8_0`."""
    return shape.folder / "gguf" / f"{kind}.gguf"


def export_gguf(shape: Shape, kind: str) -> None:
    """Write a decoder as GGUF, unless it is there."""
    if not gguf_file(shape, kind).exists():
        command = module(GGUF, "export_gguf", shape.folder, gguf_file(shape, kind), kind)
        prepare(command, "the export to GGUF")


def versions() -> dict[str, str]:
    """Versions of the peers that are installed."""
    named = [made.requirements[0] for made in ENVIRONMENTS if made.folder.exists()]
    if LLAMA.program.exists():
        named.append(LLAMA.requirement)
    return {f"peer {name}": version for name, version in (text.split("==") for text in named)}
