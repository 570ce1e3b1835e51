"""A small tokenizer, and a sampler that follows grammars over its vocabulary."""

import pytest
import tokenizers

from lepton_testing.constrained import WIDTH, number_of
from lepton_worker.backends.sampling.constraints import Constraints
from lepton_worker.backends.sampling.sampler import Sampler
from lepton_worker.model import GenerationDefaults
from lepton_worker.samples import vocabularies


@pytest.fixture(scope="module")
def tokenizer() -> tokenizers.Tokenizer:
    return vocabularies.byte_level().backend_tokenizer


@pytest.fixture(scope="module")
def end(tokenizer: tokenizers.Tokenizer) -> int:
    return number_of(tokenizer, "<|end|>")


@pytest.fixture
def constraints(tokenizer: tokenizers.Tokenizer, end: int) -> Constraints:
    return Constraints(tokenizer, WIDTH, {end})


@pytest.fixture
def sampler(constraints: Constraints) -> Sampler:
    return Sampler(GenerationDefaults(), WIDTH, constraints)
