"""CTranslate2, greedy, static batches: `ctranslate2_engine FOLDER CONVERTED TYPE THREADS`."""

import sys
from pathlib import Path
from typing import Any

import ctranslate2  # type: ignore[import-not-found,import-untyped,unused-ignore]
import tokenizers

from lepton_bench.engine.peers.line_loop import loop


def main(folder: str, converted: str, kind: str, threads: int) -> None:
    """Convert once, load, and run what is asked."""
    if not Path(converted, "model.bin").exists():
        converter = ctranslate2.converters.TransformersConverter(folder)
        converter.convert(converted, quantization=kind, force=True)
    generator = ctranslate2.Generator(
        converted, compute_type=kind, intra_threads=threads, inter_threads=1
    )
    tokenizer = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")

    def run(items: list[dict[str, Any]], callers: int) -> int:
        made = 0
        prompts = [tokenizer.encode(item["text"]).tokens for item in items]
        for start in range(0, len(items), callers):
            length = items[start]["new_tokens"]
            found = generator.generate_batch(
                prompts[start : start + callers],
                max_length=length,
                min_length=length,
                sampling_topk=1,
                include_prompt_in_result=False,
            )
            made += sum(len(answer.sequences_ids[0]) for answer in found)
        return made

    loop(run, ["ctranslate2"])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
