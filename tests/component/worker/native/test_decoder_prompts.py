"""Reports on prompts, through spans of any size and any number of evictions."""

import random

import pytest
import torch

from lepton_worker.backends.native.prompts import PromptReport
from lepton_worker.request import TokenLogprob

pytestmark = pytest.mark.component

LENGTH, VOCABULARY = 20, 11


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("top", [0, 3])
def test_each_token_is_reported_once_and_by_the_token_in_front_of_it(seed: int, top: int) -> None:
    drawn = random.Random(seed)
    logits = torch.randn(LENGTH + 3, VOCABULARY, generator=torch.Generator().manual_seed(seed))
    ids = [drawn.randrange(VOCABULARY) for _ in range(LENGTH + 3)]
    report, known = PromptReport(LENGTH, top), 0
    found: list[TokenLogprob] = []
    while not report.finished:
        if drawn.random() < 0.3:
            known = drawn.randint(0, min(report.reusable(), LENGTH))
        count = drawn.randint(1, min(4, LENGTH + 3 - known))
        found += report.take(ids, known, logits[known : known + count].clone())
        known += count if not report.finished else 0
    rows = logits.log_softmax(-1)
    assert [item.token for item in found] == ids[1:LENGTH]
    for row, item in zip(rows, found, strict=False):
        assert item.logprob == pytest.approx(float(row[item.token]))
        assert [token for token, _ in item.top] == row.topk(top).indices.tolist()
    assert report.before is None


def test_a_text_cannot_go_on_behind_a_token_that_was_never_computed() -> None:
    report = PromptReport(LENGTH, 0)
    with pytest.raises(ValueError, match="never computed"):
        report.take([1] * LENGTH, 1, torch.zeros(2, VOCABULARY))
