"""Label selectors, read and asked."""

import pytest

from lepton_operator.metrics.selector import InvalidSelector, parse

LABELS = {"model": "chat", "tier": "", "lepton.ai/size": "7b"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("  ", True),
        ("model=chat", True),
        ("model==chat", True),
        (" model = chat ", True),
        ("model=other", False),
        ("missing=chat", False),
        ("model!=chat", False),
        ("model!=other", True),
        ("missing!=chat", True),
        ("model in (chat)", True),
        ("model in (other, chat)", True),
        ("model in (other,third)", False),
        ("missing in (chat)", False),
        ("model notin (chat,other)", False),
        ("model notin (other)", True),
        ("missing notin (chat)", True),
        ("model", True),
        ("missing", False),
        ("!missing", True),
        ("! missing", True),
        ("!model", False),
        ("tier=", True),
        ("tier in (,x)", True),
        ("model=", False),
        ("lepton.ai/size=7b", True),
        ("model=chat,tier,!missing,lepton.ai/size in (7b,70b)", True),
        ("model=chat,missing", False),
        ("model in (chat),model notin (other)", True),
    ],
)
def test_selectors_match_as_in_kubernetes(text: str, matches: bool) -> None:
    assert parse(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("=chat", "a label's name"),
        ("model=chat,", "a label's name"),
        (",model", "a label's name"),
        ("model=chat tier", "',' or the end"),
        ("model in chat", "'('"),
        ("model in (chat", "',' or ')'"),
        ("model in ()", "a label's value"),
        ("model in", "'('"),
        ("model>1", "a label's name"),
        ("model=-chat", "a label's value"),
        ("model=a=b", "',' or the end"),
        ("mo del=chat", "',' or the end"),
        ("!", "a label's name"),
        ("-model", "a label's name"),
        ("(", "a label's name"),
        ("model" * 100, "a label's name"),
    ],
)
def test_what_is_no_selector_says_what_was_expected(text: str, expected: str) -> None:
    with pytest.raises(InvalidSelector, match="expected") as caught:
        parse(text)
    assert f"expected {expected}" in str(caught.value)


def test_equal_selectors_are_equal_values() -> None:
    assert parse("model=chat") == parse(" model in (chat) ")
