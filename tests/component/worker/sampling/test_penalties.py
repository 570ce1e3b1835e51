"""What penalties, bans and bias make of logits, for several rows at once."""

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    MinNewTokensLengthLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
)

from lepton_worker.backends.base import DecoderSequence
from lepton_worker.backends.sampling.penalties import Bias, Edits, Ngrams, Tally
from lepton_worker.backends.sampling.rows import Row
from lepton_worker.model import GenerationDefaults
from lepton_worker.request import Sampling, Tokens

pytestmark = pytest.mark.component

WIDTH = 60
CPU = torch.device("cpu")
PROMPTS = [(5, 6, 5, 6, 7), (1,), tuple(range(0, 40, 3)) * 2, (2, 2, 2, 2)]
ANSWERS = [(5, 6), (), (0, 3, 6, 50), (2, 9, 2)]


def sequence(prompt: tuple[int, ...], answer: tuple[int, ...], sampling: Sampling):  # type: ignore[no-untyped-def]
    return DecoderSequence(Tokens(prompt), sampling, ids=[*prompt, *answer])


def edited(
    sampling: Sampling, logits: torch.Tensor, defaults: GenerationDefaults | None = None
) -> torch.Tensor:
    """Logits [4, WIDTH] with what each of the four sequences does to its row."""
    edits, changed = Edits(WIDTH, CPU), logits.clone()
    for place, (prompt, answer) in enumerate(zip(PROMPTS, ANSWERS, strict=True)):
        text = sequence(prompt, answer, sampling)
        row = Row(text, None, None, WIDTH, CPU)
        row.follow(text)
        row.edit(edits, place, len(answer), defaults or GenerationDefaults())
    edits.apply(changed)
    return changed


def random_logits(seed: int = 0) -> torch.Tensor:
    return torch.randn(4, WIDTH, generator=torch.Generator().manual_seed(seed)) * 3


@pytest.mark.parametrize("penalty", [1.0, 1.3, 0.7])
@pytest.mark.parametrize("ngram", [0, 1, 2, 3])
@pytest.mark.parametrize("minimum", [0, 1, 3, 9])
@pytest.mark.parametrize("suppressed", [(), (4, 8)])
def test_as_transformers(penalty: float, ngram: int, minimum: int, suppressed: tuple[int]) -> None:
    logits = random_logits()
    sampling = Sampling(
        9,
        repetition_penalty=penalty,
        no_repeat_ngram=ngram,
        min_new_tokens=minimum,
        ends=frozenset({1, 3}),
    )
    defaults = GenerationDefaults(suppressed=suppressed, suppressed_first=(11, 12))
    found = edited(sampling, logits, defaults)
    for place, (prompt, answer) in enumerate(zip(PROMPTS, ANSWERS, strict=True)):
        chain = LogitsProcessorList()
        if penalty != 1:
            chain.append(RepetitionPenaltyLogitsProcessor(penalty))
        if ngram:
            chain.append(NoRepeatNGramLogitsProcessor(ngram))
        if minimum:
            chain.append(MinNewTokensLengthLogitsProcessor(len(prompt), minimum, [1, 3]))
        if suppressed:
            chain.append(SuppressTokensLogitsProcessor(list(suppressed)))
        chain.append(SuppressTokensAtBeginLogitsProcessor([11, 12], len(prompt)))
        ids = torch.tensor([[*prompt, *answer]])
        assert torch.equal(found[place], chain(ids, logits[place][None])[0])  # type: ignore[arg-type]


@pytest.mark.parametrize("presence", [0.0, 0.5, -2.0])
@pytest.mark.parametrize("frequency", [0.0, 0.25, -1.0])
def test_presence_and_frequency_as_openai_defines_them(presence: float, frequency: float) -> None:
    """mu[j] - c[j] * frequency - (c[j] > 0) * presence, where c counts the answer alone."""
    logits = random_logits(1)
    sampling = Sampling(9, presence_penalty=presence, frequency_penalty=frequency)
    found = edited(sampling, logits)
    for place, answer in enumerate(ANSWERS):
        for token in range(WIDTH):
            count = answer.count(token)
            wanted = float(logits[place, token]) - count * frequency - (count > 0) * presence
            assert float(found[place, token]) == pytest.approx(wanted, abs=1e-5)


def test_the_repetition_penalty_comes_before_presence_and_bias() -> None:
    logits = random_logits(2)
    sampling = Sampling(
        9, repetition_penalty=2.0, presence_penalty=1.0, bias=((5, 10.0), (6, -10.0))
    )
    found = edited(sampling, logits)
    for token, bias in ((5, 10.0), (6, -10.0)):
        before = float(logits[0, token])
        wanted = (before * 2 if before < 0 else before / 2) - 1.0 + bias
        assert float(found[0, token]) == pytest.approx(wanted, abs=1e-5)


def test_bias_does_not_undo_a_ban() -> None:
    sampling = Sampling(9, bias=((4, 100.0),), min_new_tokens=9, ends=frozenset({4}))
    assert bool((edited(sampling, random_logits())[:, 4] == float("-inf")).all())


def test_tokens_without_a_logit_touch_no_neighbour() -> None:
    logits = random_logits()
    text = sequence((WIDTH, WIDTH + 5, -1), (WIDTH + 1,), Sampling(9))
    tally = Tally(WIDTH, CPU)
    tally.add(text.ids)
    assert not len(tally.tokens)
    bias = Bias.of([(WIDTH + 3, 5.0), (-1, 5.0)], WIDTH, CPU)
    edits, changed = Edits(WIDTH, CPU), logits.clone()
    edits.bias(0, bias)
    edits.ban(1, [WIDTH + 2, -1])
    edits.apply(changed)
    assert torch.equal(changed, logits)


def test_a_tally_grows_and_counts() -> None:
    tally = Tally(1000, CPU)
    texts = [[7, 7, 8], [], list(range(300)), [7], [8, 999]]
    for ids in texts:
        tally.add(ids)
    counted = dict(zip(tally.tokens.tolist(), tally.counts.tolist(), strict=True))
    everything = [token for ids in texts for token in ids]
    assert counted == {token: everything.count(token) for token in set(everything)}


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_ngrams_token_by_token(size: int) -> None:
    text = [1, 2, 3, 1, 2, 3, 1, 2, 4, 1, 2, 2, 2, 2]
    ngrams = Ngrams(size)
    for count, token in enumerate(text, 1):
        ngrams.add([token])
        prefix = text[count - size + 1 : count] if count >= size - 1 else None
        wanted = {
            text[start + size - 1]
            for start in range(count - size + 1)
            if text[start : start + size - 1] == prefix
        }
        assert set(ngrams.banned()) == wanted


def test_other_tokens_than_before_are_counted_anew() -> None:
    """As after an eviction that threw tokens away, or another choice than ours."""
    sampling = Sampling(9, presence_penalty=1.0, no_repeat_ngram=1, repetition_penalty=2.0)
    text = sequence((1,), (10, 11, 12), sampling)
    row = Row(text, None, None, WIDTH, CPU)
    row.follow(text)
    for ids in ([1, 10], [1, 20, 21], [1, 20, 21, 22], [1]):
        text.ids[:] = ids
        row.follow(text)
        fresh = Row(text, None, None, WIDTH, CPU)
        fresh.follow(text)
        results = []
        for each in (row, fresh):
            edits, logits = Edits(WIDTH, CPU), torch.ones(1, WIDTH)
            each.edit(edits, 0, row.position(text), GenerationDefaults())
            edits.apply(logits)
            results.append(logits)
        assert torch.equal(*results)


def test_an_encoder_decoder_counts_what_its_decoder_began_with() -> None:
    text = sequence((1, 2, 3), (4,), Sampling(9, no_repeat_ngram=1))
    row = Row(text, None, [0], WIDTH, CPU)
    row.follow(text)
    edits, logits = Edits(WIDTH, CPU), torch.zeros(1, WIDTH)
    row.edit(edits, 0, 1, GenerationDefaults())
    edits.apply(logits)
    assert (logits[0] == float("-inf")).nonzero().flatten().tolist() == [0, 4]
