"""Tiny models of many families with random weights, as folders, and what transformers makes of
them."""

import copy
import functools
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from lepton_worker.backends import open_backend
from lepton_worker.backends.base import LoadOrder
from lepton_worker.model import Model
from lepton_worker.request import Task
from lepton_worker.samples.vocabularies import byte_level, roberta
from lepton_worker.tasks.pooling import read_pooling

LONGEST = 128
WINDOW = 8
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": LONGEST,
    # Wide enough that the best token stands out by much more than by rounding.
    "initializer_range": 0.4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": None,
    "tie_word_embeddings": False,  # a token would be most like itself, over and over
}
GROUPED: dict[str, Any] = {"num_key_value_heads": 2}
HEADS_OF_8: dict[str, Any] = {**GROUPED, "head_dim": 8}
SLIDING: dict[str, Any] = {**HEADS_OF_8, "sliding_window": WINDOW}
EXPERTS: dict[str, Any] = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
DYNAMIC: dict[str, Any] = {
    **GROUPED,
    "rope_parameters": {
        "rope_type": "dynamic",
        "rope_theta": 10000.0,
        "factor": 4.0,
        "original_max_position_embeddings": 32,
    },
}
LATENT: dict[str, Any] = {
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 8,
    "v_head_dim": 6,
    "n_group": 1,
    "topk_group": 1,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    **EXPERTS,
}
OLD: dict[str, Any] = {"n_layer": 2, "n_head": 4, "n_embd": 32, "n_positions": LONGEST}
LINEAR: dict[str, Any] = {
    **HEADS_OF_8,
    **EXPERTS,
    "num_experts": 4,
    "shared_expert_intermediate_size": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}

DECODERS: dict[str, dict[str, Any]] = {
    "Apertus": GROUPED,
    "Arcee": GROUPED,
    "Bloom": {"n_layer": 2, "n_head": 4},
    "CodeGen": {**OLD, "rotary_dim": 4},
    "Cohere": GROUPED,
    "Cohere2": SLIDING,
    "DeepseekV3": LATENT,
    "Ernie4_5": HEADS_OF_8,
    "Exaone4": SLIDING,
    "Falcon": {"new_decoder_architecture": True, "num_kv_heads": 2},
    "FalconAlibi": {"alibi": True, "new_decoder_architecture": True, "num_kv_heads": 2},
    "GPT2": OLD,
    "GPTBigCode": OLD,
    "GPTJ": {**OLD, "rotary_dim": 4},
    "GPTNeo": {
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": WINDOW,
    },
    "GPTNeoX": {},
    "Gemma": HEADS_OF_8,
    "Gemma2": SLIDING,
    "Gemma3Text": SLIDING,
    "Glm": HEADS_OF_8,
    "Glm4": HEADS_OF_8,
    "Glm4Moe": {**HEADS_OF_8, **EXPERTS, "n_routed_experts": 4, "n_shared_experts": 1},
    "GptOss": {**SLIDING, "num_local_experts": 4, "num_experts_per_tok": 2},
    "Granite": GROUPED,
    "GraniteMoe": {**GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2},
    "Helium": HEADS_OF_8,
    "Jamba": {**GROUPED, "attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 2},
    "Lfm2": {**GROUPED, "layer_types": ["conv", "full_attention"], "block_ff_dim": 48},
    "Llama": GROUPED,
    "LlamaDynamic": DYNAMIC,
    "Llama4Text": {
        **HEADS_OF_8,
        "num_local_experts": 4,
        "intermediate_size_mlp": 48,
        "attention_chunk_size": WINDOW,
        "no_rope_layers": [1, 0],
    },
    "Mistral": {**GROUPED, "sliding_window": WINDOW},
    "Mixtral": {**GROUPED, "num_local_experts": 4},
    "Mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": LONGEST},
    "Nemotron": GROUPED,
    "OPT": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "Olmo": GROUPED,
    "Olmo2": GROUPED,
    "Olmo3": {**GROUPED, "sliding_window": WINDOW},
    "Olmoe": {**GROUPED, "num_experts": 4, "num_experts_per_tok": 2},
    "Phi": GROUPED,
    "Phi3": GROUPED,
    "Phi3Long": {
        **GROUPED,
        "original_max_position_embeddings": 32,
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0, 1.1, 1.2, 1.3],
            "long_factor": [2.0, 3.0, 4.0, 5.0],
            "original_max_position_embeddings": 32,
        },
    },
    "Phimoe": {**GROUPED, "num_local_experts": 4},
    "Qwen2": GROUPED,
    "Qwen2Moe": {
        **GROUPED,
        **EXPERTS,
        "num_experts": 4,
        "shared_expert_intermediate_size": 16,
    },
    "Qwen3": HEADS_OF_8,
    "Qwen3Moe": {**HEADS_OF_8, **EXPERTS, "num_experts": 4},
    "Qwen3Next": LINEAR,
    "RecurrentGemma": {
        **HEADS_OF_8,
        "num_hidden_layers": 3,
        "attention_window_size": WINDOW,
        "lru_width": 32,
    },
    "SmolLM3": GROUPED,
    "StableLm": GROUPED,
    "Starcoder2": {**GROUPED, "sliding_window": WINDOW},
    "XGLM": {"d_model": 32, "num_layers": 2, "attention_heads": 4, "ffn_dim": 48},
}
"""Beside the sizes, or in place of them for models that name theirs in another way. Several names
stand for one family in different settings."""

CONFIGS = {"FalconAlibi": "Falcon", "LlamaDynamic": "Llama", "Phi3Long": "Phi3"}


def write_decoder(folder: Path, name: str) -> Path:
    """A model by the name of its config class, in `save_pretrained` format."""
    tokenizer = byte_level()
    fields = {**SIZES, **DECODERS[name], "vocab_size": len(tokenizer)}
    config = getattr(transformers, f"{CONFIGS.get(name, name)}Config")(**fields)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        make: Callable[[Any], Any] = transformers.AutoModelForCausalLM.from_config
        module = make(config)
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    module.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def opened(folder: Path, task: Task = Task.GENERATE, slots: int = 8) -> tuple[Any, Model]:
    """A backend with the model, as the engine loads it, in float32."""
    backend = open_backend("auto")
    order = LoadOrder(
        folder, task, device="cpu", quantization="none", slots=slots, pooling=read_pooling(folder)
    )
    model = backend.load(order)
    backend.warm_up()
    return backend, model


def prompts(vocabulary: int) -> list[list[int]]:
    """Prompts that are shorter and longer than a window, the last two of which begin the same."""
    numbers = torch.Generator().manual_seed(5)
    drawn: list[list[int]] = [
        torch.randint(3, vocabulary, (length,), generator=numbers).tolist()
        for length in (1, 5, 19, 40, 27, 9)
    ]
    drawn[-1] = drawn[-2][:20] + drawn[-1]
    return drawn


@functools.cache
def stock(folder: Path) -> Any:
    """The model by transformers alone."""
    module: Any = transformers.AutoModelForCausalLM.from_pretrained(folder)
    return module.eval()


def greedy(module: Any, prompt: Sequence[int], count: int) -> list[int]:
    """What `generate` puts behind one prompt, by a module that has seen no other text."""
    module = copy.deepcopy(module)
    ids = torch.tensor([prompt])
    arguments: Mapping[str, Any] = {"attention_mask": torch.ones_like(ids)}
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = module.generate(ids, max_new_tokens=count, do_sample=False, **arguments)
    made: list[int] = whole[0, len(prompt) :].tolist()
    return made


SPECIAL: dict[str, Any] = {"cls_token_id": 0, "sep_token_id": 2}
ENCODERS: dict[str, dict[str, Any]] = {
    "Albert": {"embedding_size": 16},
    "Bert": {},
    "Camembert": {"type_vocab_size": 1},
    "DebertaV2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0},
    "DistilBert": {"dim": 32, "n_heads": 4, "n_layers": 2, "hidden_dim": 48},
    "Electra": {"embedding_size": 16},
    "Ernie": {},
    "EuroBert": HEADS_OF_8,
    "GPT2": OLD,
    "Gemma": HEADS_OF_8,
    "Llama": GROUPED,
    "LlamaDynamic": DYNAMIC,
    "MPNet": {},
    "Mistral": {**GROUPED, "sliding_window": WINDOW},
    "ModernBert": {**SPECIAL, "local_attention": WINDOW, "global_attn_every_n_layers": 2},
    "Qwen2": GROUPED,
    "Qwen3": HEADS_OF_8,
    "Roberta": {"type_vocab_size": 1},
    "XLMRoberta": {"type_vocab_size": 1},
}
"""Encoders, and decoders that serve as such, beside the sizes."""

HEADS: dict[str, Any] = {
    "": transformers.AutoModel,
    "ForSequenceClassification": transformers.AutoModelForSequenceClassification,
    "ForTokenClassification": transformers.AutoModelForTokenClassification,
}


def write_encoder(folder: Path, name: str, head: str, pooling: str = "") -> Path:
    """A model by the name of its config class, with a head or none, and a pooling that it
    declares: "mean", "cls", or none."""
    tokenizer = roberta()
    tokenizer.model_max_length = LONGEST
    fields = {**SIZES, "pad_token_id": 1, **ENCODERS[name], "vocab_size": len(tokenizer)}
    fields["max_position_embeddings"] += 2  # those of RoBERTa's kind begin at the third one
    fields |= {"num_labels": 3} if head else {}
    config = getattr(transformers, f"{CONFIGS.get(name, name)}Config")(**fields)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        module = HEADS[head].from_config(config)
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    module.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if pooling:
        kinds = ["Transformer", "Pooling"]
        modules = [
            {
                "idx": number,
                "name": str(number),
                "path": "" if number == 0 else f"{number}_{kind}",
                "type": f"sentence_transformers.models.{kind}",
            }
            for number, kind in enumerate(kinds)
        ]
        (folder / "modules.json").write_text(json.dumps(modules))
        (folder / "1_Pooling").mkdir()
        mode = {"mean": "mean_tokens", "cls": "cls_token"}[pooling]
        content = {"word_embedding_dimension": 32, f"pooling_mode_{mode}": True}
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(content))
    return folder
