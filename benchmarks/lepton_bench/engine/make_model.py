"""`python -m lepton_bench.engine.make_model NAME`: weights and tokenizer of one model.

The tokenizer is trained on a language of our own; every token of a decoder is made of letters
and spaces, so that each token of a random answer is text that a server can send.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from tokenizers import decoders, normalizers, pre_tokenizers, processors, trainers

from lepton_bench.engine.models import SHAPES, Shape
from lepton_bench.engine.words import lexicon, lines

hf: Any = transformers  # much of it has no types
SEED = 20
TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
"""A chat is its contents: prompts have the same tokens on every road."""

MARKS = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>"}
"""Marks that converters ask for; no model of ours uses them as the end of a text."""


def corpus(vocabulary: int) -> Iterator[str]:
    """Text with enough different words to fill a vocabulary of this size."""
    words = lexicon(max(20_000, 3 * vocabulary), SEED)
    yield from words
    yield from lines(words, 20_000, SEED)


def word_pieces(shape: Shape) -> Any:
    """WordPiece as BERT has it: [CLS] text [SEP]."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=shape.vocabulary, special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(corpus(shape.vocabulary), trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=shape.positions,
        **dict(zip(names, special, strict=True)),
    )


def byte_pairs(shape: Shape) -> Any:
    """Byte-level BPE as Llama 3 and Qwen have it, without tokens that are half a character."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=shape.vocabulary, special_tokens=list(MARKS.values()), show_progress=False
    )
    tokenizer.train_from_iterator(corpus(shape.vocabulary), trainer)
    made = hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=shape.positions, **MARKS
    )
    made.chat_template = TEMPLATE
    return made


def encoder(shape: Shape) -> Any:
    """A BERT, with four labels if it classifies."""
    labels: dict[str, int] = {} if shape.task == "embed" else {"num_labels": 4}
    config = hf.BertConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.positions,
        pad_token_id=0,
        **labels,
    )
    if labels:
        return hf.BertForSequenceClassification(config)
    return hf.BertModel(config)


def decoder(shape: Shape) -> Any:
    """A Llama or, with the larger vocabulary, a Qwen2; neither knows an end of text."""
    qwen = "Qwen" in shape.like
    make = hf.Qwen2ForCausalLM if qwen else hf.LlamaForCausalLM
    config = (hf.Qwen2Config if qwen else hf.LlamaConfig)(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        max_position_embeddings=shape.positions,
        tie_word_embeddings=shape.tied,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    model = make(config)
    model.generation_config = hf.GenerationConfig(do_sample=False, pad_token_id=0)
    return model


def pooling_files(shape: Shape) -> dict[str, Any]:
    """What sentence-transformers reads: the mean of all tokens, scaled to length 1."""
    kinds = ("Transformer", "Pooling", "Normalize")
    modules = [
        {
            "idx": number,
            "name": str(number),
            "path": f"{number}_{kind}" if number else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for number, kind in enumerate(kinds)
    ]
    pooling = {"word_embedding_dimension": shape.hidden, "pooling_mode_mean_tokens": True}
    return {"modules.json": modules, "1_Pooling/config.json": pooling}


def make(shape: Shape, folder: Path) -> None:
    """Write the model's folder, whole or not at all."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    torch.manual_seed(SEED)
    decodes = shape.task == "generate"
    tokenizer = byte_pairs(shape) if decodes else word_pieces(shape)
    if len(tokenizer) != shape.vocabulary:
        raise RuntimeError(f"{shape.name}: {len(tokenizer)} tokens, not {shape.vocabulary}")
    model = (decoder(shape) if decodes else encoder(shape)).eval()
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    for path, content in (pooling_files(shape) if shape.task == "embed" else {}).items():
        (partial / path).parent.mkdir(exist_ok=True)
        (partial / path).write_text(json.dumps(content))
    (partial / "done").touch()
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def main(name: str) -> None:
    """Make the named model in its folder."""
    hf.logging.disable_progress_bar()
    make(SHAPES[name], SHAPES[name].folder)


if __name__ == "__main__":
    main(sys.argv[1])
