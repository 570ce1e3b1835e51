"""OpenVINO GenAI's continuous batching: `openvino_genai_engine FOLDER FILE THREADS [HINT]`.

FILE is GGUF, which the library turns into a graph of its own. HINT is the precision in which it
computes, the library's own choice when it is left out.
"""

import sys
from typing import Any

import numpy as np
import openvino  # type: ignore[import-not-found,import-untyped,unused-ignore]
import openvino_genai  # type: ignore[import-not-found,import-untyped,unused-ignore]
import tokenizers

from lepton_bench.engine.peers.line_loop import loop

CACHE_GIB = 1
"""More than all that runs at once needs."""


def main(folder: str, file: str, threads: int, hint: str | None = None) -> None:
    """Load, and keep as many requests in the library as there are callers."""
    settings: dict[str, object] = {"INFERENCE_NUM_THREADS": threads}
    if hint:
        settings |= {"INFERENCE_PRECISION_HINT": hint, "KV_CACHE_PRECISION": hint}
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size = CACHE_GIB
    scheduler.enable_prefix_caching = True
    pipeline = openvino_genai.ContinuousBatchingPipeline(file, scheduler, "CPU", settings)
    tokenizer = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")

    def run(items: list[dict[str, Any]], callers: int) -> int:
        waiting = [(tokenizer.encode(item["text"]).ids, item["new_tokens"]) for item in items]
        waiting.reverse()
        running: list[Any] = []
        made = 0
        while waiting or running:
            while waiting and len(running) < callers:
                ids, new_tokens = waiting.pop()
                tokens = openvino.Tensor(np.array([ids], np.int64))
                running.append(pipeline.add_request(len(waiting), tokens, greedy(new_tokens)))
            pipeline.step()
            ended = [handle for handle in running if is_ended(handle)]
            running = [handle for handle in running if handle not in ended]
            made += sum(len(handle.read_all()[0].generated_ids) for handle in ended)
        return made

    loop(run, ["openvino-genai"])


def greedy(new_tokens: int) -> Any:
    """Settings of a greedy answer of one length."""
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens = new_tokens
    config.do_sample = False
    config.ignore_eos = True
    return config


def is_ended(handle: Any) -> bool:
    """Whether an answer is whole; raises RuntimeError when it never will be."""
    status = handle.get_status()
    kinds = openvino_genai.GenerationStatus
    if status not in (kinds.RUNNING, kinds.FINISHED):
        raise RuntimeError(f"a request ended as {status}")
    return bool(status == kinds.FINISHED)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
