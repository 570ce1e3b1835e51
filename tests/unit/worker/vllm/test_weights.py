"""Which tensors a model would lack."""

import pytest

from lepton_worker.backends.vllm.names import missing

ALL = frozenset(["a", "b", "head"])


@pytest.mark.parametrize(
    ("tied", "found", "lacking"),
    [
        (set(), {"a", "b", "head"}, []),
        (set(), {"a", "head"}, ["b"]),
        (set(), set(), ["a", "b", "head"]),
        ({"head"}, {"a", "b"}, []),
        ({"head"}, {"a", "b", "head"}, []),
        (set(), {"a", "other"}, []),  # named differently: nothing can be said
    ],
)
def test_missing(tied: set[str], found: set[str], lacking: list[str]) -> None:
    assert missing(ALL, tied, found) == lacking
