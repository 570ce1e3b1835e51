"""The probe of a GPU, run with a tiny model on a CPU: what it counts, and how it is told."""

from dataclasses import asdict

import pytest
import torch
from transformers import LlamaConfig

from lepton_bench.engine.gpu_probe import limit_seconds, measure
from lepton_bench.engine.parts.gpu import words

pytestmark = pytest.mark.component


def test_the_limit_is_what_a_step_reads() -> None:
    # 8B in bfloat16 less the table of tokens, 32 texts of 1000 tokens of 128 KiB, at 4.3 TB/s.
    seconds = limit_seconds(15_009_333_248, 131_072, 32_000, 4.3e12)
    assert seconds == pytest.approx(0.00447, rel=1e-2)


def test_a_run() -> None:
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=False,
    )
    found = measure(config, torch.device("cpu"), 3, 20, 4, 1 << 20)
    layer = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48 + 2 * 32
    weights = 2 * (2 * layer + 32 + 300 * 32)
    state = 2 * 2 * 2 * 16
    assert found.limit == pytest.approx((weights + state * 3 * 39) / found.bandwidth)
    assert found.ratio == pytest.approx(found.limit / found.seconds)
    assert found.tokens_s == pytest.approx(3 / found.seconds)
    said = words(asdict(found))
    assert "ms a step" in said["note"]
    assert "TB/s" in said["against"]
