"""Tokenizers of four kinds, trained on our own sentences in a moment."""

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from lepton_worker.samples.sentences import SENTENCES

SIZE = 600
"""Tokens of each vocabulary, of which 256 are single bytes where bytes are tokens."""


def byte_level(begin: str | None = None) -> PreTrainedTokenizerFast:
    """Byte-level BPE, as GPT-2, Qwen and Llama 3 have it; `begin` goes in front of each text."""
    end = "<|end|>"
    specials = [end, *([begin] if begin else [])]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    if begin:
        tokenizer.post_processor = _template(f"{begin} $A", [(begin, tokenizer)])
    return _named(
        tokenizer,
        bos_token=begin,
        eos_token=end,
        pad_token=end,
        model_input_names=["input_ids", "attention_mask"],
    )


def byte_fallback() -> PreTrainedTokenizerFast:
    """Words with a mark for the space in front; characters that are unknown fall apart into bytes,
    as in Llama 2 and Mistral."""
    begin, end = "<s>", "</s>"
    byte_tokens = [f"<0x{number:02X}>" for number in range(256)]
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    plain = [text for text in SENTENCES if text.isascii()]
    trained.train_from_iterator(
        plain, trainers.BpeTrainer(vocab_size=SIZE - 256, show_progress=False)
    )
    words = sorted(trained.get_vocab(), key=lambda token: trained.get_vocab()[token])
    merges = _merges(trained)
    vocabulary = {
        token: number for number, token in enumerate(["<unk>", begin, end, *byte_tokens, *words])
    }
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(content=" ", left=1, right=0),
        ]
    )
    tokenizer.post_processor = _template(f"{begin} $A", [(begin, tokenizer)])
    return _named(
        tokenizer,
        bos_token=begin,
        eos_token=end,
        unk_token="<unk>",
        pad_token=end,
        model_input_names=["input_ids", "attention_mask"],
    )


def word_pieces() -> PreTrainedTokenizerFast:
    """WordPiece in lower case with segment numbers, as in BERT."""
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]"}
    names |= {"sep_token": "[SEP]", "mask_token": "[MASK]"}
    tokenizer = Tokenizer(models.WordPiece(_pieces(list(names.values())), unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(list(names.values()))
    around = [("[CLS]", tokenizer), ("[SEP]", tokenizer)]
    tokenizer.post_processor = _template("[CLS] $A [SEP]", around, "[CLS] $A [SEP] $B:1 [SEP]:1")
    return _named(
        tokenizer,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **names,
    )


def roberta() -> PreTrainedTokenizerFast:
    """Byte-level BPE between `<s>` and `</s>`, with the padding token at 1, as in RoBERTa."""
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    around = [("<s>", tokenizer), ("</s>", tokenizer)]
    tokenizer.post_processor = _template("<s> $A </s>", around, "<s> $A </s> </s> $B </s>")
    return _named(
        tokenizer,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        mask_token="<mask>",
        model_input_names=["input_ids", "attention_mask"],
    )


def unigram() -> PreTrainedTokenizerFast:
    """Pieces with scores, a mark for the space in front, and `</s>` behind each text, as in T5.

    The pieces are the characters and the most frequent words, the scores their shares. Not by the
    library's trainer, which finds other pieces each time."""
    text = " ".join(SENTENCES)
    letters, words = Counter(text.replace(" ", "▁")), Counter(f"▁{word}" for word in text.split())
    seldom = [(letter, count) for letter, count in letters.items() if letter not in words]
    counted = sorted({**words, **dict(seldom)}.items(), key=lambda item: (-item[1], item[0]))
    single = [(piece, count) for piece, count in counted if len(piece) == 1]
    longer = [(piece, count) for piece, count in counted if len(piece) > 1]
    kept = [*single, *longer][: SIZE - 3]
    total = sum(count for _, count in kept)
    pieces = [(piece, math.log(count / total)) for piece, count in kept]
    specials = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    tokenizer = Tokenizer(models.Unigram([*specials, *pieces], unk_id=2, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = _template("$A </s>", [("</s>", tokenizer)], "$A </s> $B </s>")
    return _named(
        tokenizer,
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        model_input_names=["input_ids", "attention_mask"],
    )


Vocabulary = Callable[[], PreTrainedTokenizerFast]


def _pieces(specials: list[str]) -> dict[str, int]:
    """Letters, letters within a word, and the most frequent words. Not by the library's trainer,
    which numbers pieces differently each time."""
    words = Counter(re.findall(r"\w+|[^\w\s]", " ".join(SENTENCES).lower()))
    letters = sorted({letter for word in words for letter in word})
    common = [word for word, _ in sorted(words.items(), key=lambda item: (-item[1], item[0]))]
    pieces = [*specials, *letters, *(f"##{letter}" for letter in letters), *common]
    return {piece: number for number, piece in enumerate(list(dict.fromkeys(pieces))[:SIZE])}


def _named(tokenizer: Tokenizer, **options: Any) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **options)  # type: ignore[no-untyped-call]


def _template(
    single: str, specials: list[tuple[str, Tokenizer]], pair: str = "$A $B:1"
) -> processors.TemplateProcessing:
    return processors.TemplateProcessing(
        single=single,
        pair=pair,
        special_tokens=[(token, owner.token_to_id(token)) for token, owner in specials],
    )


def _merges(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [(left, right) for left, right in merges]
