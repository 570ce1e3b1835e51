"""transformers' continuous batching without a server: `batching_engine FOLDER`."""

import sys
from typing import Any

import tokenizers
import torch
import transformers

from lepton_bench.engine.peers.line_loop import loop

hf: Any = transformers  # much of it has no types
BLOCKS, BATCH_TOKENS = 64, 512
"""Cache of 64 blocks of 256 tokens; the defaults take most of the machine's memory."""


def main(folder: str) -> None:
    """Load, start the loop of the library, and keep as many requests in it as there are callers."""
    model = hf.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa").eval()
    tokenizer = tokenizers.Tokenizer.from_file(f"{folder}/tokenizer.json")
    manager = model.init_continuous_batching(
        generation_config=hf.GenerationConfig(do_sample=False, pad_token_id=0),
        continuous_batching_config=hf.ContinuousBatchingConfig(
            num_blocks=BLOCKS, max_batch_tokens=BATCH_TOKENS
        ),
    )
    manager.start()

    def run(items: list[dict[str, Any]], callers: int) -> int:
        prompts = [tokenizer.encode(item["text"]).ids for item in items]
        made = sent = done = 0
        while done < len(items):
            while sent < len(items) and sent - done < callers:
                length = items[sent]["new_tokens"]
                manager.add_request(prompts[sent], max_new_tokens=length)
                sent += 1
            answer = manager.get_result(timeout=300)
            if answer is None or answer.error:
                raise RuntimeError(f"no result: {answer and answer.error}")
            made += len(answer.generated_tokens)
            done += 1
        return made

    loop(run, ["transformers", "torch"])
    manager.stop(block=True)


if __name__ == "__main__":
    with torch.inference_mode():
        main(sys.argv[1])
