"""When vLLM is taken, when it is refused, and in which words."""

from dataclasses import replace
from pathlib import Path

import pytest

from lepton_worker.backends.vllm.choice import check_order, preferred, refusal, unserved
from lepton_worker.engine.choosing import backend_for, generates
from lepton_worker.errors import InvalidSetting, LoadError, TaskNotSupported
from lepton_worker.model import GenerationDefaults
from lepton_worker.request import Beams, Task
from lepton_worker.settings import Settings
from lepton_worker.source import vllm
from lepton_worker.tasks.choose import Nature

DECODER = Nature("LlamaForCausalLM", "llama", encoder_decoder=False, sentence_encoder=False)


@pytest.mark.parametrize(
    ("chosen", "taken"),
    [
        ({}, True),
        ({"device": "cuda"}, True),
        ({"quantization": "none"}, True),
        ({"backend": "native"}, False),
        ({"backend": "vllm"}, False),  # as asked, whatever else is there
        ({"device": "cpu"}, False),
        ({"quantization": "int8"}, False),
        ({"generates": False}, False),
        ({"installed": False}, False),
        ({"gpu": False}, False),
    ],
)
def test_auto_takes_vllm_where_it_is_made_for(chosen: dict[str, object], taken: bool) -> None:
    usual = {"backend": "auto", "device": "auto", "quantization": "auto"}
    facts = {"generates": True, "installed": True, "gpu": True}
    assert preferred(**{**usual, **facts, **chosen}) is taken  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("task", "model", "wanted"),
    [
        ("auto", DECODER, True),
        ("generate", DECODER, True),
        ("embed", DECODER, False),
        ("auto", replace(DECODER, sentence_encoder=True), False),
        ("generate", replace(DECODER, sentence_encoder=True), True),
        ("auto", replace(DECODER, encoder_decoder=True), False),
        ("auto", replace(DECODER, architecture="BertForSequenceClassification"), False),
    ],
)
def test_only_decoders_that_generate(task: str, model: Nature, wanted: bool) -> None:
    assert generates(task, model) is wanted


@pytest.mark.parametrize(
    ("defaults", "fields"),
    [
        (GenerationDefaults(temperature=0.7, suppressed=(3,)), []),
        (GenerationDefaults(no_repeat_ngram=3), ["no_repeat_ngram_size"]),
        (GenerationDefaults(suppressed_first=(3,)), ["begin_suppress_tokens"]),
        (GenerationDefaults(forced=(3,)), ["forced_bos_token_id"]),
        (GenerationDefaults(beams=Beams(count=4)), ["num_beams"]),
    ],
)
def test_what_a_generation_config_wants_in_vain(
    defaults: GenerationDefaults, fields: list[str]
) -> None:
    assert unserved(defaults) == fields
    said = refusal("LlamaForCausalLM", frozenset(["LlamaForCausalLM"]), defaults)
    assert bool(said) is bool(fields)
    assert all(field in said for field in fields)


def test_an_architecture_that_vllm_has_not() -> None:
    assert "NewForCausalLM" in refusal("NewForCausalLM", frozenset(), GenerationDefaults())


@pytest.mark.parametrize(
    ("order", "facts", "error", "words"),
    [
        ((Task.EMBED, "auto", "auto"), (True, False), TaskNotSupported, "generation alone"),
        ((Task.GENERATE, "auto", "int8"), (True, False), InvalidSetting, "spec.engine.quantiz"),
        ((Task.GENERATE, "auto", "auto"), (False, False), InvalidSetting, "spec.resources.gpu"),
        ((Task.GENERATE, "cuda", "auto"), (False, True), InvalidSetting, "spec.resources.gpu"),
        ((Task.GENERATE, "cpu", "auto"), (True, False), InvalidSetting, "built for GPUs"),
        ((Task.GENERATE, "auto", "auto"), (True, True), InvalidSetting, "built for CPUs"),
    ],
)
def test_refusals_name_the_field_and_the_remedy(
    order: tuple[Task, str, str], facts: tuple[bool, bool], error: type[LoadError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        check_order(*order, gpu=facts[0], cpu_build=facts[1])
    assert "backend auto" in caught.value.message


def test_devices() -> None:
    assert check_order(Task.GENERATE, "auto", "none", gpu=True, cpu_build=False) == "cuda"
    assert check_order(Task.GENERATE, "cpu", "auto", gpu=False, cpu_build=True) == "cpu"


def test_a_worker_without_vllm_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(vllm, "installed", lambda: False)
    with pytest.raises(InvalidSetting, match=r"spec.engine.backend vllm needs .* spec.podTemplate"):
        vllm.check_installed("vllm")
    vllm.check_installed("auto")


@pytest.mark.parametrize("backend", ["auto", "native", "vllm", "transformers"])
def test_without_a_gpu_a_backend_is_what_was_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, backend: str
) -> None:
    monkeypatch.setattr("lepton_worker.engine.choosing.installed", lambda: True)
    monkeypatch.setattr("lepton_worker.engine.choosing._sees_gpu", lambda: False)
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (tmp_path / "model.safetensors").touch()
    assert backend_for(Settings(backend=backend), tmp_path) == backend
