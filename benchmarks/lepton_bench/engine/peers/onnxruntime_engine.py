"""ONNX Runtime over batches of like length: `onnxruntime_engine FOLDER FILE THREADS`."""

import sys
from typing import Any

import onnxruntime  # type: ignore[import-not-found,import-untyped,unused-ignore]
import tokenizers

from lepton_bench.engine.peers.line_loop import loop
from lepton_bench.engine.peers.padded import batches


def main(folder: str, file: str, threads: int) -> None:
    """Load and run what is asked; texts are tokenized before, which is not counted elsewhere."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, settings, ["CPUExecutionProvider"])
    tokenizer = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")

    def run(items: list[dict[str, Any]], callers: int) -> int:
        ids = [encoding.ids for encoding in tokenizer.encode_batch([i["text"] for i in items])]
        for tokens, mask in batches(ids):
            session.run(None, {"input_ids": tokens, "attention_mask": mask})
        return 0

    loop(run, ["onnxruntime", "onnx"])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
