"""What `auto` takes where vLLM is: its own list of models is asked, only the GPU is made up."""

import json
from pathlib import Path
from typing import Any

import pytest

from lepton_testing.vllm_models import write_model
from lepton_worker.backends.vllm.library import Library
from lepton_worker.engine import choosing
from lepton_worker.engine.choosing import backend_for
from lepton_worker.settings import Settings

pytestmark = pytest.mark.component


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "_sees_gpu", lambda: True)
    monkeypatch.setattr(Library, "for_cpu", property(lambda self: False))


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    ("chosen", "generation", "config", "backend"),
    [
        ({}, {}, {}, "vllm"),
        ({"dtype": "bfloat16"}, {"temperature": 0.7, "do_sample": True}, {}, "vllm"),
        ({}, {"no_repeat_ngram_size": 2}, {}, "auto"),
        ({}, {}, {"architectures": ["UnheardOfForCausalLM"]}, "auto"),
        ({}, {}, {"architectures": ["LlamaForSequenceClassification"]}, "auto"),
        ({"task": "embed"}, {}, {}, "auto"),
        ({"quantization": "float16"}, {}, {}, "auto"),
        ({"device": "cpu"}, {}, {}, "auto"),
        ({"backend": "native"}, {}, {}, "native"),
    ],
)
def test_auto(
    tmp_path: Path,
    chosen: dict[str, Any],
    generation: dict[str, Any],
    config: dict[str, Any],
    backend: str,
) -> None:
    folder = write_model(tmp_path, "llama", **generation)
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**said, **config}))
    assert backend_for(Settings(**chosen), folder) == backend


def test_a_vllm_for_cpus_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "_sees_gpu", lambda: True)
    assert backend_for(Settings(), write_model(tmp_path, "llama")) == "auto"
