"""Tiny encoders with random weights, by family and head, as folders that transformers reads too."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from lepton_worker.samples.sentences import SENTENCES
from lepton_worker.samples.vocabularies import byte_level, roberta, word_pieces

LONGEST = 96
BIO = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
BIOES = ("O", "B-PER", "I-PER", "E-PER", "S-PER")
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    # Wide enough that texts differ by much more than by rounding.
    "initializer_range": 0.3,
}


def unigram(whitespace: bool) -> PreTrainedTokenizerFast:
    """Unigram pieces with a mark for the space in front, as in XLM-RoBERTa and DeBERTa-v2.

    `whitespace` leaves spaces out of the tokens' places, as the first of them does.
    """
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    found = re.findall(r"\w+", " ".join(SENTENCES))
    letters = sorted({letter for word in found for letter in word} | set(".,:;!?"))
    common = sorted({f"▁{word[:3]}" for word in found if len(word) > 2 and word.isascii()})
    begins = [f"▁{letter}" for letter in letters]
    pieces = [*specials, "▁", *letters, *begins, *common]
    scores = [(piece, -float(len(piece) == 1) - 1.0) for piece in dict.fromkeys(pieces)]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=3))
    mark = pre_tokenizers.Metaspace()
    split = pre_tokenizers.WhitespaceSplit()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, mark]) if whitespace else mark
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(specials)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    names = {"bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>"}
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        pad_token="<pad>",
        model_input_names=["input_ids", "attention_mask"],
        **names,
    )


FAMILIES: dict[str, tuple[str, Callable[[], PreTrainedTokenizerFast], dict[str, Any]]] = {
    "bert": ("Bert", word_pieces, {**SIZES, "max_position_embeddings": LONGEST}),
    "distilbert": (
        "DistilBert",
        word_pieces,
        {
            "dim": 32,
            "hidden_dim": 48,
            "n_layers": 2,
            "n_heads": 4,
            "initializer_range": 0.3,
            "max_position_embeddings": LONGEST,
        },
    ),
    "roberta": (
        "Roberta",
        roberta,
        {**SIZES, "max_position_embeddings": LONGEST + 2, "type_vocab_size": 1},
    ),
    "xlm-roberta": (
        "XLMRoberta",
        lambda: unigram(True),
        {**SIZES, "max_position_embeddings": LONGEST + 2, "type_vocab_size": 1},
    ),
    "deberta-v2": (
        "DebertaV2",
        lambda: unigram(False),
        {
            **SIZES,
            "max_position_embeddings": LONGEST,
            "type_vocab_size": 0,
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
        },
    ),
}

DECODERS: dict[str, tuple[str, Callable[[], PreTrainedTokenizerFast], dict[str, Any]]] = {
    "gpt2": (
        "GPT2",
        byte_level,
        {
            "n_embd": 32,
            "n_layer": 2,
            "n_head": 4,
            "n_positions": LONGEST,
            "initializer_range": 0.3,
            "bos_token_id": 0,
            "eos_token_id": 0,
        },
    )
}


def write_head(
    folder: Path, family: str, head: str, labels: tuple[str, ...] = (), **changes: Any
) -> Path:
    """Write a model, such as "bert" with "TokenClassification", and its tokenizer."""
    name, vocabulary, sizes = {**FAMILIES, **DECODERS}[family]
    tokenizer = vocabulary()
    named = {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}}
    config = getattr(transformers, f"{name}Config")(
        vocab_size=len(tokenizer),
        **{"pad_token_id": tokenizer.pad_token_id, **sizes, **(named if labels else {}), **changes},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = getattr(transformers, f"{name}For{head}")(config).eval()
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    tokenizer.model_max_length = LONGEST
    tokenizer.save_pretrained(folder)
    return folder
