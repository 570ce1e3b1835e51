"""Kernels that read pages: ours gives the numbers of attention spelled out, in Triton's
interpreter; torch's own is told of windows as it counts them."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.component


def test_the_triton_kernel_is_attention_over_pages() -> None:
    pytest.importorskip("triton")
    done = subprocess.run(
        [sys.executable, "-m", "lepton_testing.programs.triton_pages"],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.endswith("same\n"), done.stderr


def test_what_torchs_kernel_is_told_of_windows() -> None:
    varlen = pytest.importorskip("lepton_worker.backends.native.paged.varlen")
    assert varlen.available()
    assert varlen.reach(1, 512, None) == (-1, -1)
    assert varlen.reach(7, 512, None) == (-1, 0)
    assert varlen.reach(1, 512, 512) == (-1, -1)
    assert varlen.reach(1, 512, 8) == (7, 0)
    assert varlen.reach(7, 512, 8) == (7, 0)
