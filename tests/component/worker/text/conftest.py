"""Tiny models with heads of every kind, and workers that serve them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lepton_testing.heads import write_head
from lepton_testing.hosted import Host, Served

Heads = Callable[..., Path]


@pytest.fixture(scope="session")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Heads:
    """The folder of a model, by family, head and labels; each is written once."""
    root = tmp_path_factory.mktemp("heads")
    written: dict[str, Path] = {}

    def folder(family: str, head: str, labels: tuple[str, ...] = (), **changes: Any) -> Path:
        key = repr((family, head, labels, changes))
        if key not in written:
            place = root / str(len(written))
            written[key] = write_head(place, family, head, labels, **changes)
        return written[key]

    return folder


@pytest.fixture
def serving(host: Host) -> Callable[..., Served]:
    """A worker for a folder, with the backend that computes as transformers does."""
    return lambda folder, **chosen: host.serve(source=str(folder), backend="transformers", **chosen)
