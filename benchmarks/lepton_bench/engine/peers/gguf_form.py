"""A Llama's tensors as GGUF has them: other names, and another order of some rows."""

from typing import Any

PLACES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""Names in transformers, and in GGUF."""


def gguf_name(name: str) -> str:
    """Name of a tensor in GGUF: `model.layers.3.mlp.up_proj.weight` is `blk.3.ffn_up.weight`."""
    words = name.removesuffix(".weight")
    if not words.startswith("model.layers."):
        return f"{PLACES[words]}.weight"
    number, _, rest = words.removeprefix("model.layers.").partition(".")
    return f"blk.{number}.{PLACES[rest]}.weight"


def interleaved(weight: Any, heads: int) -> Any:
    """Rows of queries or keys as GGUF wants them: the two halves of each head alternate.

    transformers turns number i of a head together with number i + half, GGUF's Llama turns
    neighbours.
    """
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)
