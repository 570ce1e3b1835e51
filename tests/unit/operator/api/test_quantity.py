"""Quantities as numbers."""

from decimal import Decimal

import pytest

from lepton_operator.api.quantity import number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", "1"),
        (2, "2"),
        ("500m", "0.5"),
        ("0.5", "0.5"),
        ("1500m", "1.5"),
        ("100u", "0.0001"),
        ("7n", "0.000000007"),
        ("1k", "1000"),
        ("2M", "2000000"),
        ("1Ki", "1024"),
        ("16Gi", str(16 * 2**30)),
        ("1e3", "1000"),
        ("12E-1", "1.2"),
        ("1E", str(10**18)),
        ("-9223372036854775808m", "-9223372036854775.808"),
    ],
)
def test_forms_of_the_api(text: object, value: str) -> None:
    assert number(text) == Decimal(value)


@pytest.mark.parametrize(
    "text", ["", "x", "1x", "Gi", "1Gib", "1.2.3", None, True, [], "1 Gi", "1mi"]
)
def test_other_things_are_no_quantities(text: object) -> None:
    assert number(text) is None
