"""A lock has one holder, and says who is in the way."""

import threading
from pathlib import Path

import pytest

from localcluster.errors import DeadlinePassed
from localcluster.locks import locked


def test_the_second_waits_in_vain_and_then_gets_it(tmp_path: Path) -> None:
    lock = tmp_path / "a" / "lock"
    with locked(lock):
        with (
            pytest.raises(DeadlinePassed, match="another process holds it"),
            locked(lock, timeout=0.05),
        ):
            pass
        got_it = threading.Event()

        def take() -> None:
            with locked(lock, timeout=10):
                got_it.set()

        second = threading.Thread(target=take)
        second.start()
    second.join()
    assert got_it.is_set()
