"""A worker whose texts are in pages, over gRPC: company, several answers, adapters, speculation."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from lepton.v1 import common_pb2, control_pb2, generation_pb2
from lepton_testing.adapters import write_adapter
from lepton_testing.families import greedy
from lepton_testing.ground import prompts
from lepton_testing.hosted import Host, Served
from lepton_worker.backends.base import LoadOrder, Speculation
from lepton_worker.backends.native.backend import NativeBackend
from lepton_worker.errors import InvalidSetting
from lepton_worker.request import Task

pytestmark = pytest.mark.component

NEW = 12


@dataclasses.dataclass(frozen=True)
class Ground:
    """A worker on pages, and modules by adapter, "" for the base."""

    served: Served
    modules: dict[str, Any]

    def ask(self, prompt: list[int], n: int = 1, **meta: Any) -> Any:
        sampling = generation_pb2.Sampling(max_new_tokens=NEW, ignore_eos=True, n=n)
        request = generation_pb2.GenerateRequest(
            meta=common_pb2.RequestMeta(**meta),
            tokens=generation_pb2.TokenIds(ids=prompt),
            sampling=sampling,
        )
        return self.served.generation.Generate(request, timeout=60)


@pytest.fixture(scope="module")
def ground(host: Host, samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    folder, adapter = samples / "llama", tmp_path_factory.mktemp("adapters") / "one"
    modules = {
        "": AutoModelForCausalLM.from_pretrained(folder),
        "one": write_adapter(adapter, AutoModelForCausalLM.from_pretrained(folder), 1),
    }
    for module in modules.values():
        module.generation_config.eos_token_id = None
    served = host.serve(
        source=str(folder), kv="paged", quantization="none", max_batch_size=4, model_name="paged"
    )
    served.control.LoadAdapter(
        control_pb2.LoadAdapterRequest(name="one", source=str(adapter)), timeout=60
    )
    return Ground(served, modules)


def by_answer(stream: Any) -> dict[int, list[int]]:
    """The tokens of each answer."""
    found: dict[int, list[int]] = {}
    for event in stream:
        if event.HasField("delta"):
            found.setdefault(event.delta.choice, []).extend(event.delta.token_ids)
    return found


def test_what_was_chosen_is_told(ground: Ground) -> None:
    info = ground.served.control.GetModelInfo(control_pb2.GetModelInfoRequest())
    assert info.choices["kv"] == (
        "pages of 16 tokens, read by copies: same logits as stock transformers"
    )
    assert info.choices["cuda_graphs"] == "none: for CUDA alone"


def test_texts_of_several_adapters_side_by_side_are_those_of_each_alone(ground: Ground) -> None:
    texts = [prompt for prompt in prompts() for _ in range(2)]
    streams = [
        (text, adapter, ground.ask(text, adapter=adapter))
        for text in texts
        for adapter in ("", "one")
    ]
    for text, adapter, stream in streams:
        assert by_answer(stream) == {0: greedy(ground.modules[adapter], text, NEW)}


def test_several_answers_to_one_prompt(ground: Ground) -> None:
    text = max(prompts(), key=len)
    found = by_answer(ground.ask(text, n=3))
    wanted = greedy(ground.modules[""], text, NEW)
    assert found == {0: wanted, 1: wanted, 2: wanted}


def test_guessed_tokens_are_verified_over_pages_too(host: Host, samples: Path) -> None:
    folder = samples / "llama"
    module = AutoModelForCausalLM.from_pretrained(folder)
    module.generation_config.eos_token_id = None
    served = host.serve(
        source=str(folder), kv="paged", quantization="none", speculation="ngram", max_batch_size=2
    )
    ground = Ground(served, {"": module})
    for text in prompts()[:3]:
        repeated = [*text, *text, *text]
        assert by_answer(ground.ask(repeated)) == {0: greedy(module, repeated, NEW)}


def test_what_pages_do_not_serve_is_refused_where_they_are_asked_for(
    samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "lepton_worker.backends.native.paged.choose.check", lambda *_: "its numbers are others"
    )
    order = LoadOrder(samples / "llama", Task.GENERATE, kv="paged", speculation=Speculation())
    with pytest.raises(InvalidSetting, match="its numbers are others"):
        NativeBackend().load(order)
