"""Workers with encoder-decoders, and the same models in transformers."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import processors

from lepton_testing import seq2seq
from lepton_testing.hosted import Host
from lepton_testing.seq2seq import Both, both
from lepton_worker.samples.vocabularies import roberta


@pytest.fixture(scope="session", params=["transformers", "auto"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def t5(host: Host, samples: Path, backend: str) -> Both:
    return both(host, samples / "t5", backend)


@pytest.fixture(scope="session")
def bart(host: Host, samples: Path, backend: str) -> Both:
    return both(host, samples / "bart", backend)


LANGUAGES = ["en_XX", "de_DE", "fr_XX"]


@pytest.fixture(scope="session")
def mbart_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with tokens for languages, whose decoder begins with a token of its own."""
    folder = tmp_path_factory.mktemp("languages") / "mbart"
    tokenizer = roberta()
    tokenizer.add_special_tokens({"additional_special_tokens": LANGUAGES})
    english = tokenizer.convert_tokens_to_ids("en_XX")
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="en_XX $A </s>",
        pair="en_XX $A $B </s>",
        special_tokens=[("en_XX", english), ("</s>", 2)],
    )
    config = transformers.MBartConfig(
        **{
            **seq2seq.BART,
            "vocab_size": len(tokenizer),
            "eos_token_id": 2,
            "num_beams": 5,
            "max_length": 40,
        }
    )
    torch.manual_seed(3)
    model: Any = transformers.MBartForConditionalGeneration(config)
    model.eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.copy_(torch.randn(weight.shape))
    model.generation_config.num_beams = 5
    model.generation_config.max_length = 40
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def mbart(host: Host, mbart_folder: Path, backend: str) -> Both:
    return both(host, mbart_folder, backend)
