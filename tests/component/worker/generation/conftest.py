"""A decoder with a chat template behind a worker, the same one in transformers, and an echo."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import transformers

from lepton_testing.hosted import Host, Served
from lepton_testing.templates import CHATML
from lepton_worker.backends.base import LoadOrder
from lepton_worker.backends.echo import EchoBackend
from lepton_worker.model import Model
from lepton_worker.samples import write_sample

REPEAT = "{# <tool_call> #}{{ messages[-1].content }}"
"""The echo backend answers with the last message, so that a test can say what the model writes."""


class Both(NamedTuple):
    """A worker, and what transformers makes of the same folder."""

    served: Served
    model: Any
    tokenizer: Any


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_sample(tmp_path_factory.mktemp("chat"), "llama")
    (folder / "chat_template.jinja").write_text("{{ bos_token }}" + CHATML)
    return folder


@pytest.fixture(scope="session", params=["transformers", "native"])
def decoder(request: pytest.FixtureRequest, host: Host, chat_folder: Path) -> Both:
    served = host.serve(backend=request.param, source=str(chat_folder), model_name="chat")
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(chat_folder)
    return Both(served, model.eval(), transformers.AutoTokenizer.from_pretrained(chat_folder))


@pytest.fixture(scope="session")
def parrot(host: Host) -> Served:
    """The echo backend, with a chat template."""
    load = EchoBackend.load

    def with_template(self: EchoBackend, order: LoadOrder) -> Model:
        return dataclasses.replace(load(self, order), chat_template=REPEAT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EchoBackend, "load", with_template)
        served = host.serve(backend="echo", model_name="parrot", max_model_length=600)
    return served
