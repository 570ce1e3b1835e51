"""Which model types the installed transformers knows, without importing any of them."""

from transformers import CONFIG_MAPPING
from transformers.models.auto import modeling_auto

from lepton_worker.model import Families


def families() -> Families:
    """Model types by what transformers can build of them."""
    causal = frozenset(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    masked = frozenset(modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES)
    classifying = frozenset(modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES)
    return Families(
        known=frozenset(CONFIG_MAPPING.keys()),
        text=causal | masked | classifying,
        causal=causal,
        masked=masked,
    )
