"""A model that needs no file: the echo backend's."""

from pathlib import Path

import pytest

from lepton_worker.backends.base import LoadOrder
from lepton_worker.backends.echo import EchoBackend
from lepton_worker.model import Model
from lepton_worker.request import Task


@pytest.fixture
def echo_model() -> Model:
    """Bytes are tokens, 256 ends a text, 64 tokens are the longest input."""
    return EchoBackend().load(LoadOrder(Path(), Task.GENERATE, max_length=64))
