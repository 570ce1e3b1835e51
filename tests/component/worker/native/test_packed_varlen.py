"""What torch's variable-length attention is told of a packed row, by a stand-in for CPUs that
spells out what it documents; the kernel itself is CUDA's, see tests/gpu."""

from typing import Any

import pytest
import torch

from lepton_worker.backends.native import attention_packed
from lepton_worker.backends.native.attention_packed import Segments, packed_attention

pytestmark = pytest.mark.component
varlen = pytest.importorskip("lepton_worker.backends.native.attention_varlen")


def spelled_out(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    starts: torch.Tensor,
    other_starts: torch.Tensor,
    longest: int,
    other_longest: int,
    *,
    scale: float | None,
    window_size: tuple[int, int],
    enable_gqa: bool,
) -> torch.Tensor:
    """[row, heads, width] each; every text for itself."""
    assert starts is other_starts
    assert starts.dtype == torch.int32
    before, behind = (10**6 if size < 0 else size for size in window_size)
    shared = query.shape[1] // key.shape[1] if enable_gqa else 1
    outputs = []
    for first, last in zip(starts.tolist(), starts.tolist()[1:], strict=False):
        assert last - first <= longest == other_longest
        own = query[first:last].transpose(0, 1)
        keys = key[first:last].repeat_interleave(shared, 1).transpose(0, 1)
        values = value[first:last].repeat_interleave(shared, 1).transpose(0, 1)
        places = torch.arange(last - first)
        distance = places[:, None] - places
        scores = own @ keys.transpose(1, 2) * (scale or query.shape[-1] ** -0.5)
        hidden = (distance > before) | (-distance > behind)
        weights = scores.masked_fill(hidden, float("-inf")).softmax(-1)
        outputs.append((weights @ values).transpose(0, 1))
    return torch.cat(outputs)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("kept", [4, 2])
def test_a_row_in_one_call_is_each_text_alone(
    causal: bool, window: int | None, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(varlen, "varlen_attn", spelled_out)
    torch.manual_seed(0)
    segments = Segments((5, 9, 9, 1, 14))
    query = torch.randn(1, 4, 38, 8)
    key, value = torch.randn(2, 1, kept, 38, 8)
    arguments: dict[str, Any] = {"is_causal": causal, "sliding_window": window, "scaling": 0.4}
    expected, _ = packed_attention(
        torch.nn.Identity(), query, key, value, None, segments=segments, **arguments
    )
    found = attention_packed._on_cuda(query, key, value, segments, 0.4, causal, window)
    torch.testing.assert_close(found, expected)
