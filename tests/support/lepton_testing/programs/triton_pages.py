"""Holds the Triton kernel over pages against attention spelled out, on a device.

`python -m lepton_testing.programs.triton_pages [DEVICE]`: on a CPU with TRITON_INTERPRET=1, which
has to be in the environment before Triton is imported. Says `same` at the end.
"""

import sys

import torch

from lepton_worker.backends.native.paged.attention import Rows, gathered
from lepton_worker.backends.native.paged.layout import Query, layout
from lepton_worker.backends.native.paged.triton_decode import triton_decode

CASES: list[tuple[int, int, int, int, int, int | None]] = [
    (4, 2, 8, 8, 16, None),
    (4, 4, 24, 16, 8, None),
    (6, 2, 16, 16, 16, 5),
    (34, 2, 8, 8, 4, 1),
]
"""Heads, heads of keys, numbers of a key and of a value, tokens of a page, window."""


def compare(case: tuple[int, int, int, int, int, int | None], device: torch.device) -> None:
    """Single rows of texts that end at all places of a page; raises AssertionError."""
    heads, kept, key, value, page, window = case
    torch.manual_seed(0)
    keys = torch.randn(40, page, kept, key, device=device)
    values = torch.randn(40, page, kept, value, device=device)
    pages = torch.randperm(39).add(1).tolist()
    lengths = [1, page - 1, page, page + 1, 5 * page + 3]
    taken = [pages[7 * text :][: -(-length // page)] for text, length in enumerate(lengths)]
    # What is behind a text's end, and pages that are nobody's, must not be looked at.
    for length, own in zip(lengths, taken, strict=True):
        for numbers in (keys, values):
            numbers[own[-1], (length - 1) % page + 1 :] = float("nan")
    keys[0] = values[0] = float("nan")
    queries = [Query(1, length, own) for length, own in zip(lengths, taken, strict=True)]
    rows = Rows.of(layout(queries, 0), 0, device)
    asked = torch.randn(len(queries), heads, key, device=device)
    ours, sums = triton_decode(asked, keys, values, rows, 0.3, window, True)
    theirs, expected = gathered(asked, keys, values, rows, 0.3, window, True)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(sums, expected, atol=1e-5, rtol=1e-5)


def main(device: str = "cpu") -> None:
    """Compare all cases."""
    for case in CASES:
        compare(case, torch.device(device))
    print("same")  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
