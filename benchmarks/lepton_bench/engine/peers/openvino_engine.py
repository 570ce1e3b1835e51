"""OpenVINO over batches of like length: `openvino_engine FOLDER FILE THREADS`."""

import sys
from typing import Any

import openvino  # type: ignore[import-not-found,import-untyped,unused-ignore]
import tokenizers

from lepton_bench.engine.peers.line_loop import loop
from lepton_bench.engine.peers.padded import batches


def main(folder: str, file: str, threads: int) -> None:
    """Load the ONNX file, in float32 whatever the processor could do, and run what is asked."""
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = openvino.Core().compile_model(file, "CPU", settings)
    tokenizer = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")

    def run(items: list[dict[str, Any]], callers: int) -> int:
        ids = [encoding.ids for encoding in tokenizer.encode_batch([i["text"] for i in items])]
        for tokens, mask in batches(ids):
            compiled([tokens, mask])
        return 0

    loop(run, ["openvino"])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
