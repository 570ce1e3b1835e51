"""Which library multiplies int8: the choice by measured times, and what users are told of it."""

import pytest

from lepton_worker.backends.linears.int8_routes import FBGEMM, ONEDNN, Tried, faster

pytestmark = pytest.mark.component

BASE = {1: 1.0, 4: 2.0, 16: 4.0, 128: 8.0}


def gained(*ratios: float) -> Tried:
    """The choice where fbgemm is so many times as fast, by number of rows."""
    return faster(
        BASE, {rows: BASE[rows] / ratio for rows, ratio in zip(BASE, ratios, strict=True)}
    )


@pytest.mark.parametrize(
    ("ratios", "route"),
    [
        ((1.0, 1.0, 1.0, 1.0), ONEDNN),
        ((1.04, 1.04, 1.04, 1.04), ONEDNN),  # within the noise
        ((1.06, 1.06, 1.06, 1.06), FBGEMM),
        ((1.5, 1.4, 1.2, 0.98), FBGEMM),  # VNNI alone
        ((1.2, 1.0, 0.8, 0.4), ONEDNN),  # AMX
        ((0.3, 0.3, 0.3, 0.3), ONEDNN),
    ],
)
def test_fbgemm_multiplies_where_it_is_faster_over_all_numbers_of_rows(
    ratios: tuple[float, ...], route: object
) -> None:
    assert gained(*ratios).route == route


def test_users_are_told_what_the_trial_saw() -> None:
    assert gained(1.5, 1.4, 1.2, 0.98).words == (
        "multiplied by fbgemm (fbgemm is so many times as fast as oneDNN: "
        "1.50 with 1, 1.40 with 4, 1.20 with 16, 0.98 with 128 rows)"
    )
