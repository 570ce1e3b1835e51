"""Write a Llama as GGUF for llama.cpp and others: `export_gguf FOLDER FILE KIND`."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import gguf  # type: ignore[import-not-found,import-untyped,unused-ignore]
import numpy as np
from safetensors.numpy import load_file

from lepton_bench.engine.peers.gguf_form import gguf_name, interleaved

KINDS = {"f16": "F16", "bf16": "BF16", "q8_0": "Q8_0"}
"""How matrices are held; vectors stay float32."""


def main(folder: Path, file: Path, kind: str) -> None:
    """Write the file, whole or not at all."""
    config = json.loads((folder / "config.json").read_text())
    partial = file.with_suffix(".partial")
    file.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(partial, "llama")
    _sizes(writer, config, kind)
    _vocabulary(writer, json.loads((folder / "tokenizer.json").read_text()))
    heads = {
        "q_proj": config["num_attention_heads"],
        "k_proj": config["num_key_value_heads"],
    }
    form = gguf.GGMLQuantizationType[KINDS[kind]]
    for name, weight in load_file(folder / "model.safetensors").items():
        part = name.split(".")[-2]
        ordered = interleaved(weight, heads[part]) if part in heads else weight
        data = np.ascontiguousarray(ordered, np.float32)
        if data.ndim == 1:
            writer.add_tensor(gguf_name(name), data)
        else:
            writer.add_tensor(gguf_name(name), gguf.quants.quantize(data, form), raw_dtype=form)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(partial, file)


def _sizes(writer: Any, config: dict[str, Any], kind: str) -> None:
    writer.add_name("benchmark")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{KINDS[kind]}"])


def _vocabulary(writer: Any, tokenizer: dict[str, Any]) -> None:
    marks = {mark["id"]: mark["content"] for mark in tokenizer["added_tokens"]}
    tokens = sorted(tokenizer["model"]["vocab"].items(), key=lambda pair: pair[1])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([token for token, _ in tokens])
    writer.add_token_types(
        [
            gguf.TokenType.CONTROL if number in marks else gguf.TokenType.NORMAL
            for _, number in tokens
        ]
    )
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    numbers = {content: number for number, content in marks.items()}
    writer.add_bos_token_id(numbers["<bos>"])
    writer.add_eos_token_id(numbers["<eos>"])
    writer.add_pad_token_id(numbers["<pad>"])
    writer.add_add_bos_token(False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
