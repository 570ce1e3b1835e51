"""Which model types the installed transformers knows, without importing any of them."""

from transformers import CONFIG_MAPPING
from transformers.models.auto import modeling_auto

from lepton_worker.model import Families

SEQ2SEQ = frozenset(
    (
        "bart",
        "blenderbot",
        "blenderbot-small",
        "m2m_100",
        "marian",
        "mbart",
        "mt5",
        "pegasus",
        "plbart",
        "t5",
        "umt5",
    )
)
"""Encoder-decoders for text that were seen to answer as their own `generate` does."""


def families() -> Families:
    """Model types by what transformers can build of them."""
    causal = frozenset(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    masked = frozenset(modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES)
    classifying = frozenset(modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES)
    seq2seq = SEQ2SEQ & frozenset(modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES)
    return Families(
        known=frozenset(CONFIG_MAPPING.keys()),
        text=causal | masked | classifying | seq2seq,
        causal=causal,
        masked=masked,
        seq2seq=seq2seq,
    )
