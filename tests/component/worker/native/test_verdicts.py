"""What one load found spares the next one the trial, and changes nothing else."""

import dataclasses
from pathlib import Path

import pytest

from lepton_worker.backends.base import LoadOrder
from lepton_worker.backends.native import decoder_parity
from lepton_worker.backends.native.backend import NativeBackend
from lepton_worker.model import Verdicts
from lepton_worker.request import Task

pytestmark = pytest.mark.component


def refused(*_: object) -> str:
    return "a trial was made"


def test_packed_steps_that_were_checked_are_not_checked_again(
    samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = LoadOrder(samples / "llama", Task.GENERATE)
    first = NativeBackend().load(order)
    assert first.verdicts.packed
    monkeypatch.setattr(decoder_parity, "check", refused)
    assert NativeBackend().load(order).backend == "transformers"
    again = dataclasses.replace(order, verdicts=first.verdicts)
    second = NativeBackend().load(again)
    assert second.backend == "native"
    assert second.verdicts == first.verdicts
    apart = {"cache_tokens"}  # It says how much memory there was.
    assert {name: said for name, said in second.choices.items() if name not in apart} == {
        name: said for name, said in first.choices.items() if name not in apart
    }


def test_a_model_that_failed_its_trial_is_tried_again(
    samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder_parity, "check", refused)
    first = NativeBackend().load(LoadOrder(samples / "llama", Task.GENERATE))
    assert first.verdicts == Verdicts()
