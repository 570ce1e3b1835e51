"""The readiness page."""

import pytest

from lepton_operator.metrics.health import page


@pytest.mark.parametrize(
    ("checks", "notes", "text"),
    [
        ({"certificate": None}, {}, "[+]certificate ok\n"),
        (
            {"certificate": "there is none", "front proxy": None},
            {"registration": "APIService is ours"},
            "[-]certificate failed: there is none\n"
            "[+]front proxy ok\n"
            "[i]registration: APIService is ours\n",
        ),
    ],
)
def test_the_page_names_what_is_missing(
    checks: dict[str, str | None], notes: dict[str, str], text: str
) -> None:
    assert page(checks, notes) == text
