"""Log probabilities of answers and prompts."""

from dataclasses import replace

import pytest
import torch

from lepton_worker.backends.base import DecoderSequence
from lepton_worker.backends.sampling.logprobs import prompt_logprobs
from lepton_worker.backends.sampling.sampler import Choice, Sampler
from lepton_worker.model import GenerationDefaults
from lepton_worker.request import Sampling, Tokens

pytestmark = pytest.mark.component

WIDTH = 300


def random_logits(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(seed)) * 3


@pytest.mark.parametrize("temperature", [0.0, 1.5])
@pytest.mark.parametrize("top_p", [1.0, 0.5])
def test_log_probabilities_are_of_what_the_model_said(temperature: float, top_p: float) -> None:
    """Before any penalty, temperature or cut; the logits are left as they are."""
    logits = random_logits(3, seed=8)
    before = logits.clone()
    tops = (0, 4, None)
    sampling = Sampling(
        9, temperature=temperature, top_p=top_p, seed=3, bias=((9, 4.0),), min_new_tokens=1
    )
    batch = [DecoderSequence(Tokens((1,)), replace(sampling, logprobs=top)) for top in tops]
    found = Sampler(GenerationDefaults(), WIDTH, None).choose(batch, logits)
    assert torch.equal(logits, before)
    truth = before.double().log_softmax(-1)
    for place, (choice, top) in enumerate(zip(found, tops, strict=True)):
        assert isinstance(choice, Choice)
        if top is None:
            assert choice.logprob is None
            continue
        assert choice.logprob is not None
        assert choice.logprob.token == choice.token
        wanted = float(truth[place, choice.token])
        assert choice.logprob.logprob == pytest.approx(wanted, abs=1e-5)
        best = truth[place].topk(top)
        assert [token for token, _ in choice.logprob.top] == best.indices.tolist()
        values = [value for _, value in choice.logprob.top]
        assert values == pytest.approx(best.values.tolist(), abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_log_probabilities_of_a_prompt(dtype: torch.dtype) -> None:
    logits = random_logits(70).to(dtype)
    ids = [(17 * place) % WIDTH for place in range(70)]
    found = prompt_logprobs(ids, logits, top=2)
    truth = logits.double().log_softmax(-1)
    assert [item.token for item in found] == ids
    wanted = truth.gather(1, torch.tensor(ids)[:, None]).flatten().tolist()
    assert [item.logprob for item in found] == pytest.approx(wanted, abs=1e-5)
    assert [item.top[0][1] for item in found] == pytest.approx(truth.amax(-1).tolist(), abs=1e-5)
    assert all(len(item.top) == 2 for item in found)
    assert prompt_logprobs(ids[:3], logits[:3])[2].top == ()
    assert prompt_logprobs([], logits[:0]) == ()
