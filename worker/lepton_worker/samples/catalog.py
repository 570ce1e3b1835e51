"""Which samples there are: real architectures, made small."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import transformers

from lepton_worker.samples.vocabularies import (
    Vocabulary,
    byte_fallback,
    byte_level,
    roberta,
    unigram,
    word_pieces,
)

WIDTH, INNER, LAYERS, HEADS = 64, 128, 2, 4

DECODER = {
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    # Wider than usual: the untrained answers differ clearly from one another.
    "initializer_range": 0.3,
}
ENCODER = {
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": 128,
    "initializer_range": 0.3,
}


T5 = {
    "d_model": WIDTH,
    "d_kv": WIDTH // HEADS,
    "d_ff": INNER,
    "num_layers": LAYERS,
    "num_heads": HEADS,
    "n_positions": 256,
    "decoder_start_token_id": 0,
    # Wider than usual, as those of decoders.
    "initializer_factor": 2.0,
    "task_specific_params": {
        "summarization": {"prefix": "summarize: "},
        "translation_en_to_de": {"prefix": "translate English to German: "},
        "translation_en_to_fr": {"prefix": "translate English to French: "},
    },
}
BART = {
    "d_model": WIDTH,
    "encoder_layers": LAYERS,
    "decoder_layers": LAYERS,
    "encoder_attention_heads": HEADS,
    "decoder_attention_heads": HEADS,
    "encoder_ffn_dim": INNER,
    "decoder_ffn_dim": INNER,
    "max_position_embeddings": 256,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": None,
    "init_std": 0.3,
}


@dataclass(frozen=True)
class Sample:
    """How to make one: the classes' names in transformers, sizes, tokenizer, and more files."""

    model: str
    config: str
    sizes: dict[str, Any]
    vocabulary: Vocabulary
    labels: tuple[str, ...] = ()
    files: dict[str, Any] = field(default_factory=dict)

    def build(self, ids: dict[str, int], vocabulary_size: int) -> Any:
        """The model with random weights."""
        labels = dict(enumerate(self.labels))
        named = {"id2label": labels, "label2id": {name: n for n, name in labels.items()}}
        config = getattr(transformers, self.config)(
            vocab_size=vocabulary_size, **self.sizes, **ids, **(named if labels else {})
        )
        make: Callable[[Any], Any] = getattr(transformers, self.model)
        return make(config).eval()


def _sentence_encoder(*flags: str) -> dict[str, Any]:
    """The files in which sentence-transformers declares pooling."""
    kinds = ["Transformer", "Pooling", "Normalize"]
    return {
        "modules.json": [
            {
                "idx": number,
                "name": str(number),
                "path": "" if number == 0 else f"{number}_{kind}",
                "type": f"sentence_transformers.models.{kind}",
            }
            for number, kind in enumerate(kinds)
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": WIDTH,
            **{f"pooling_mode_{flag}": True for flag in flags},
        },
        "sentence_bert_config.json": {"max_seq_length": 64, "do_lower_case": False},
    }


SAMPLES: dict[str, Sample] = {
    "llama": Sample("LlamaForCausalLM", "LlamaConfig", DECODER, lambda: byte_level("<|begin|>")),
    "llama-bytes": Sample("LlamaForCausalLM", "LlamaConfig", DECODER, byte_fallback),
    "qwen2": Sample("Qwen2ForCausalLM", "Qwen2Config", DECODER, byte_level),
    "mistral": Sample(
        "MistralForCausalLM", "MistralConfig", {**DECODER, "sliding_window": 16}, byte_fallback
    ),
    "gpt2": Sample(
        "GPT2LMHeadModel",
        "GPT2Config",
        {
            "n_embd": WIDTH,
            "n_layer": LAYERS,
            "n_head": HEADS,
            "n_positions": 256,
            "initializer_range": 0.3,
        },
        byte_level,
    ),
    "t5": Sample("T5ForConditionalGeneration", "T5Config", T5, unigram),
    "bart": Sample("BartForConditionalGeneration", "BartConfig", BART, roberta),
    "bert-classifier": Sample(
        "BertForSequenceClassification",
        "BertConfig",
        ENCODER,
        word_pieces,
        labels=("negative", "neutral", "positive"),
    ),
    "distilbert-classifier": Sample(
        "DistilBertForSequenceClassification",
        "DistilBertConfig",
        {
            "dim": WIDTH,
            "hidden_dim": INNER,
            "n_layers": LAYERS,
            "n_heads": HEADS,
            "max_position_embeddings": 128,
            "initializer_range": 0.3,
        },
        word_pieces,
        labels=("economy", "science", "sport", "weather"),
    ),
    "roberta-multilabel": Sample(
        "RobertaForSequenceClassification",
        "RobertaConfig",
        {
            **ENCODER,
            "max_position_embeddings": 130,
            "type_vocab_size": 1,
            "problem_type": "multi_label_classification",
        },
        roberta,
        labels=("curious", "formal", "friendly"),
    ),
    "bert-regressor": Sample(
        "BertForSequenceClassification",
        "BertConfig",
        {**ENCODER, "problem_type": "regression"},
        word_pieces,
        labels=("rating",),
    ),
    "bert-nli": Sample(
        "BertForSequenceClassification",
        "BertConfig",
        ENCODER,
        word_pieces,
        labels=("contradiction", "neutral", "entailment"),
    ),
    "cross-encoder": Sample(
        "BertForSequenceClassification", "BertConfig", ENCODER, word_pieces, labels=("LABEL_0",)
    ),
    "bert-ner": Sample(
        "BertForTokenClassification",
        "BertConfig",
        ENCODER,
        word_pieces,
        labels=("O", "B-PER", "I-PER", "B-LOC", "I-LOC"),
    ),
    "bert-qa": Sample("BertForQuestionAnswering", "BertConfig", ENCODER, word_pieces),
    "bert-encoder": Sample("BertModel", "BertConfig", ENCODER, word_pieces),
    "sentence-encoder": Sample(
        "BertModel",
        "BertConfig",
        ENCODER,
        word_pieces,
        files=_sentence_encoder("cls_token", "max_tokens"),
    ),
}
