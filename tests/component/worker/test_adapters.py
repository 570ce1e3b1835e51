"""Adapters over gRPC, held against PEFT on each text alone, mixed in one batch and exchanged while
they are in use."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from lepton.v1 import common_pb2, control_pb2, generation_pb2, text_pb2
from lepton_testing.adapters import write_adapter
from lepton_testing.families import greedy
from lepton_testing.ground import ids, prompts
from lepton_testing.hosted import Host, Served
from lepton_worker.samples.sentences import SENTENCES

pytest.importorskip("peft")
pytestmark = pytest.mark.component

NEW = 16


@dataclasses.dataclass(frozen=True)
class Adapted:
    """A worker, the folders of adapters by name, and modules by name, "" for the base."""

    served: Served
    folders: dict[str, Path]
    modules: dict[str, Any]

    def load(self, name: str, folder: str = "") -> control_pb2.Adapter:
        source = str(self.folders[folder or name])
        request = control_pb2.LoadAdapterRequest(name=name, source=source)
        loaded: control_pb2.Adapter = self.served.control.LoadAdapter(request, timeout=60)
        return loaded

    def unload(self, name: str) -> Any:
        request = control_pb2.UnloadAdapterRequest(name=name)
        return self.served.control.UnloadAdapter.future(request, timeout=60)

    def names(self) -> list[str]:
        listed = self.served.control.ListAdapters(control_pb2.ListAdaptersRequest(), timeout=60)
        return [adapter.name for adapter in listed.adapters]

    def expected(self, name: str, prompt: list[int], new: int = NEW) -> list[int]:
        return greedy(self.modules[name], prompt, new)


def adapted(host: Host, folder: Path, kind: Any, root: Path, **chosen: Any) -> Adapted:
    base = kind.from_pretrained(folder).eval()
    modules = {"": base}
    for seed, name in enumerate(("one", "two"), start=1):
        module = kind.from_pretrained(folder).eval()
        modules[name] = write_adapter(root / name, module, seed, rank=2 * seed)
    for module in modules.values():
        if hasattr(module, "generation_config"):
            module.generation_config.eos_token_id = None
    served = host.serve(
        source=str(folder), quantization="none", model_name="adapted", max_batch_size=6, **chosen
    )
    return Adapted(served, {"one": root / "one", "two": root / "two"}, modules)


@pytest.fixture(scope="module")
def decoder(host: Host, samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Adapted:
    root = tmp_path_factory.mktemp("adapters")
    return adapted(host, samples / "llama", AutoModelForCausalLM, root)


@pytest.fixture(scope="module")
def encoder(host: Host, samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Adapted:
    root = tmp_path_factory.mktemp("adapters")
    return adapted(host, samples / "bert-encoder", AutoModel, root)


def ask(decoder: Adapted, prompt: list[int], new: int = NEW, **meta: Any) -> Any:
    request = generation_pb2.GenerateRequest(
        meta=common_pb2.RequestMeta(**meta),
        tokens=generation_pb2.TokenIds(ids=prompt),
        sampling=generation_pb2.Sampling(max_new_tokens=new, ignore_eos=True),
    )
    return decoder.served.generation.Generate(request, timeout=60)


def code_of(work: Callable[[], Any]) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as caught:
        work()
    code: grpc.StatusCode = caught.value.code()
    return code


def test_mixed_texts_are_those_of_peft_alone(decoder: Adapted) -> None:
    facts = decoder.load("one")
    assert (facts.name, facts.rank, facts.source) == ("one", 2, str(decoder.folders["one"]))
    decoder.load("two")
    assert decoder.names() == ["one", "two"]
    texts = prompts()
    wanted = {name: [decoder.expected(name, text) for text in texts] for name in ("", "one", "two")}
    assert len({str(made) for made in wanted.values()}) == 3, "the adapters show nothing"
    streams = []
    for place, text in enumerate(texts):
        streams += [
            ("", place, ask(decoder, text)),
            ("one", place, ask(decoder, text, adapter="one")),
            ("two", place, ask(decoder, text, model="adapted:two")),
        ]
    for name, place, stream in streams:
        assert ids(stream) == wanted[name][place]
    assert code_of(lambda: list(ask(decoder, texts[0], adapter="three"))) is (
        grpc.StatusCode.NOT_FOUND
    )


def test_one_that_is_in_use_is_unloaded_once_its_texts_are_there(decoder: Adapted) -> None:
    decoder.load("one")
    text = prompts()[0]
    wanted = decoder.expected("one", text, 120)
    running = ask(decoder, text, 120, adapter="one")
    events = [next(running), next(running)]
    assert events[1].HasField("delta")
    waiting = [ask(decoder, text, 120, adapter="one") for _ in range(6)]
    assert all(next(stream).HasField("accepted") for stream in waiting)
    unloaded = decoder.unload("one")
    # From here on nobody else gets it, and those who have it keep it.
    while "one" in decoder.names():
        pass
    assert code_of(lambda: list(ask(decoder, text, adapter="one"))) is grpc.StatusCode.NOT_FOUND
    assert ids([*events, *running]) == wanted
    assert [ids(stream) for stream in waiting] == [wanted] * 6
    assert unloaded.result() is not None
    assert ids(ask(decoder, text)) == decoder.expected("", text)


def test_a_name_can_stand_for_another_adapter_later(decoder: Adapted) -> None:
    text = prompts()[3]
    for folder in ("one", "two", "one"):
        decoder.load("exchanged", folder)
        # The same text twice: what the other adapter made of its beginning is not used.
        for _ in range(2):
            made = ids(ask(decoder, text, adapter="exchanged"))
            assert made == decoder.expected(folder, text)
        decoder.unload("exchanged").result()


def pooled(module: Any, tokenizer: Any, text: str) -> Any:
    with torch.inference_mode():
        states = module(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
    return states.mean(0).numpy()


def test_mixed_embeddings_are_those_of_peft_alone(encoder: Adapted, samples: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(samples / "bert-encoder")
    encoder.load("one")
    encoder.load("two")
    texts = SENTENCES[:20]
    calls = []
    for name in ("", "one", "two", "", "one"):
        meta = common_pb2.RequestMeta(adapter=name)
        request = text_pb2.EmbedRequest(meta=meta, inputs=texts)
        calls.append((name, encoder.served.text.Embed.future(request, timeout=60)))
    seen = {}
    for name, call in calls:
        for text, result in zip(texts, call.result().results, strict=True):
            expected = pooled(encoder.modules[name], tokenizer, text)
            found = np.frombuffer(result.values, "<f4")
            assert np.abs(found - expected).max() < 1e-5 * max(1.0, np.abs(expected).max())
            seen[name, text] = found
    assert np.abs(seen["", texts[0]] - seen["one", texts[0]]).max() > 0.1
    assert np.abs(seen["two", texts[0]] - seen["one", texts[0]]).max() > 0.1
