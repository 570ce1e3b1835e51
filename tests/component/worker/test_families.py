"""Many families of decoders, token by token against `generate`, in every way in which a text may
come about: alone, in company, in chunks, evicted and begun again, on a beginning known before."""

import dataclasses
import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lepton.v1 import generation_pb2
from lepton_testing.driven import Driven, leftovers
from lepton_testing.families import DECODERS, greedy, opened, prompts, stock, write_decoder
from lepton_testing.hosted import Host, Served
from lepton_worker.errors import TaskNotSupported
from lepton_worker.model import Model

pytestmark = pytest.mark.component

PAGE = (Path(__file__).parents[3] / "docs/reference/architectures.md").read_text()
ROW = r"^\| {name} \| (\w+) \| (\w+) \|"
SLOTS, NEW = 3, 12
FALLBACKS = {
    "Bloom": "takes no cache, or no positions",
    "CodeGen": "has an attention of its own",
    "DeepseekV3": "Expected size",  # keys and values differ in size
    "Falcon": "has an attention of its own",
    "FalconAlibi": "has an attention of its own",
    "GPTJ": "has an attention of its own",
    "GPTNeo": "has an attention of its own",
    "Jamba": "keeps state in another way than keys and values",
    "Lfm2": "keeps state in another way than keys and values",
    "Llama4Text": "tokens see others than those before them",
    "Mpt": "takes no cache, or no positions",
    "Phi3Long": "its positions depend on the length",
    "Qwen3Next": "keeps state in another way than keys and values",
    "XGLM": "has an attention of its own",
}
"""The families that run on stock transformers, and why."""
REFUSED = {"RecurrentGemma": "keeps the state of a text within its modules"}
SERVED = [name for name in DECODERS if name not in REFUSED]


@dataclasses.dataclass(frozen=True)
class Family:
    """A loaded model, and what `generate` says to each of the prompts."""

    backend: Any
    model: Model
    stock: Any
    prompts: list[list[int]]
    expected: list[list[int]]


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Family]:
    """Each is made when it is first asked for."""
    root = tmp_path_factory.mktemp("families")

    @functools.cache
    def family(name: str) -> Family:
        folder = write_decoder(root / name, name)
        backend, model = opened(folder, slots=SLOTS)
        asked = prompts(model.vocabulary)
        own = stock(folder)
        return Family(backend, model, own, asked, [greedy(own, prompt, NEW) for prompt in asked])

    return family


def ask(served: Served, prompt: list[int]) -> Any:
    request = generation_pb2.GenerateRequest(
        tokens=generation_pb2.TokenIds(ids=prompt),
        sampling=generation_pb2.Sampling(max_new_tokens=NEW),
    )
    return served.generation.Generate(request, timeout=60)


def ids(events: Any) -> list[int]:
    return [token for event in events for token in event.delta.token_ids]


@pytest.mark.parametrize("name", SERVED)
def test_the_backend_is_the_expected_one(families: Callable[[str], Family], name: str) -> None:
    model = families(name).model
    assert model.backend == ("transformers" if name in FALLBACKS else "native")
    assert FALLBACKS.get(name, "same logits as stock transformers") in model.choices["backend"]
    row = re.search(ROW.format(name=name), PAGE.partition("## Encoders")[0], re.MULTILINE)
    assert row is not None, "the page about architectures does not name it"
    assert row.groups() == (model.architecture, model.backend)


@pytest.mark.parametrize("name", REFUSED)
def test_models_that_would_mix_texts_are_refused(tmp_path: Path, name: str) -> None:
    folder = write_decoder(tmp_path, name)
    with pytest.raises(TaskNotSupported, match=REFUSED[name]):
        opened(folder)
    assert f"| {name} |" in PAGE.partition("## Encoders")[0]


@pytest.mark.parametrize("name", SERVED)
def test_alone_and_in_company_over_grpc(
    host: Host, families: Callable[[str], Family], name: str
) -> None:
    family = families(name)
    with host.lent(family.backend, family.model) as (served, core):
        assert ids(ask(served, family.prompts[1])) == family.expected[1]
        # Twice as many as there are slots: some join where others leave.
        streams = [ask(served, prompt) for prompt in family.prompts]
        assert [ids(stream) for stream in streams] == family.expected
    assert leftovers(core, family.backend) == {}
    assert len({token for made in family.expected for token in made}) > 20, "shows little"


@pytest.mark.parametrize("chunk", [1, 3])
@pytest.mark.parametrize("name", SERVED)
def test_prompts_in_chunks(families: Callable[[str], Family], name: str, chunk: int) -> None:
    family = families(name)
    driven = Driven(family.backend, family.model, step_tokens=chunk)
    numbers = [driven.text(prompt, NEW) for prompt in family.prompts]
    driven.finish()
    assert [driven.ids[number] for number in numbers] == family.expected
    assert max(report.prefill_tokens for report in driven.reports) <= chunk
    assert leftovers(driven.core, family.backend) == {}


@pytest.mark.parametrize("name", SERVED)
def test_evicted_by_better_ones_and_begun_again(
    families: Callable[[str], Family], name: str
) -> None:
    family = families(name)
    driven = Driven(family.backend, family.model, step_tokens=16)
    # Three run; one of a better class takes a slot, then two of a yet better one take two more.
    numbers = [driven.text(prompt, NEW, priority=2) for prompt in family.prompts[:3]]
    driven.step(5)
    numbers.append(driven.text(family.prompts[3], NEW, priority=1))
    driven.step(6)
    numbers += [driven.text(prompt, NEW) for prompt in family.prompts[4:]]
    driven.finish()
    assert driven.evicted >= 3
    assert max(report.prefill_tokens for report in driven.reports) == 16
    assert [driven.ids[number] for number in numbers] == family.expected
    assert leftovers(driven.core, family.backend) == {}


@pytest.mark.parametrize("name", SERVED)
def test_a_known_beginning_is_used_again(families: Callable[[str], Family], name: str) -> None:
    family = families(name)
    driven = Driven(family.backend, family.model)
    first = driven.text(family.prompts[4], NEW)
    driven.finish()
    second = driven.text(family.prompts[5], NEW)  # begins with 20 tokens of the first one
    driven.step(2)
    third = driven.text(family.prompts[4], NEW)
    driven.finish()
    made = [driven.ids[number] for number in (first, second, third)]
    assert made == [family.expected[4], family.expected[5], family.expected[4]]
    cached = [driven.ended[number].cached_tokens for number in (second, third)]
    if family.model.backend == "native":
        assert cached[0] >= 20
        assert cached[1] >= 20
    else:
        assert cached == [0, 0]


@pytest.mark.parametrize("name", ["Bloom", "Jamba", "Llama"])
def test_every_token_of_an_evicted_prompt_is_reported_once(
    families: Callable[[str], Family], name: str
) -> None:
    family = families(name)
    driven = Driven(family.backend, family.model, slots=1, step_tokens=16)
    number = driven.text(family.prompts[4], NEW, priority=1, prompt_logprobs=True, logprobs=0)
    driven.step(1)
    driven.text(family.prompts[2], NEW)
    driven.step(NEW + 6)
    driven.text(family.prompts[2], NEW)
    driven.finish()
    assert driven.evicted == 2
    assert driven.ids[number] == family.expected[4]
    prompt = torch.tensor([family.prompts[4]])
    with torch.inference_mode():
        rows = family.stock(prompt).logits[0].log_softmax(-1)
    reported = driven.ended[number].prompt_logprobs
    assert [item.token for item in reported] == family.prompts[4][1:]
    for item, row in zip(reported, rows, strict=False):
        assert item.logprob == pytest.approx(float(row[item.token]), abs=1e-4)
