"""Serving certificates: made, judged, bundled."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from lepton_operator.metrics.certificates import (
    LIFE,
    Pair,
    bundle,
    contains,
    expiry,
    fault,
    from_secret,
    is_due,
    issued,
    names,
    same,
    secret_data,
)

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
NAMES = names("lepton-metrics", "lepton-system")
PAIR = issued(NAMES, NOW)
OTHER = issued(NAMES, NOW)


def test_the_name_that_the_api_server_asks_for_comes_first() -> None:
    assert NAMES[0] == "lepton-metrics.lepton-system.svc"
    certificate = x509.load_pem_x509_certificate(PAIR.certificate)
    alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert alternatives.value.get_values_for_type(x509.DNSName) == list(NAMES)


def test_a_new_pair_is_without_fault_now_and_on_a_slow_clock() -> None:
    assert fault(PAIR, NAMES, NOW) is None
    assert fault(PAIR, NAMES, NOW - timedelta(minutes=59)) is None


def test_a_pair_ends_with_its_authority() -> None:
    assert expiry(PAIR) == NOW + LIFE
    (authority,) = x509.load_pem_x509_certificates(PAIR.authorities)
    assert authority.not_valid_after_utc == expiry(PAIR)


@pytest.mark.parametrize(
    ("pair", "now", "words"),
    [
        (None, NOW, "there is none"),
        (Pair(PAIR.authorities, b"no PEM", PAIR.key), NOW, "cannot be read"),
        (Pair(PAIR.authorities, PAIR.certificate, b"no PEM"), NOW, "cannot be read"),
        (Pair(PAIR.authorities, PAIR.certificate, OTHER.key), NOW, "another one's"),
        (Pair(OTHER.authorities, PAIR.certificate, PAIR.key), NOW, "not in ca.crt"),
        (issued(names("old-name", "lepton-system"), NOW), NOW, "not for lepton-metrics"),
        (PAIR, NOW + LIFE, "it is valid from"),
        (PAIR, NOW - timedelta(hours=2), "it is valid from"),
    ],
)
def test_what_cannot_be_served_is_named(pair: Pair | None, now: datetime, words: str) -> None:
    found = fault(pair, NAMES, now)
    assert found is not None
    assert words in found


def test_a_pair_without_named_authority_can_be_served() -> None:
    assert fault(Pair(b"", PAIR.certificate, PAIR.key), NAMES, NOW) is None


@pytest.mark.parametrize(("days", "due"), [(0, False), (59, False), (61, True), (89, True)])
def test_renewal_is_due_when_a_third_of_the_life_is_left(days: int, due: bool) -> None:
    assert is_due(PAIR, NOW + timedelta(days=days)) is due


def test_a_secret_gives_back_what_was_put_in() -> None:
    assert from_secret({"data": secret_data(PAIR)}) == PAIR


@pytest.mark.parametrize(
    "secret",
    [
        None,
        {},
        {"data": None},
        {"data": {"tls.crt": base64.b64encode(b"x").decode()}},
        {"data": {**secret_data(PAIR), "tls.key": "***"}},
        {"data": {**secret_data(PAIR), "tls.key": ""}},
    ],
)
def test_half_a_secret_is_none(secret: dict[str, Any] | None) -> None:
    assert from_secret(secret) is None


def test_during_a_change_both_authorities_are_named() -> None:
    found = bundle(OTHER.authorities, PAIR.authorities, NOW, keep=True)
    assert found == OTHER.authorities + PAIR.authorities
    assert contains(found, PAIR.authorities)
    assert contains(found, OTHER.authorities)


def test_afterwards_only_the_wanted_one() -> None:
    found = bundle(OTHER.authorities, OTHER.authorities + PAIR.authorities, NOW, keep=False)
    assert found == OTHER.authorities


def test_authorities_that_ended_are_not_kept() -> None:
    old = issued(NAMES, NOW - LIFE)
    assert bundle(PAIR.authorities, old.authorities, NOW, keep=True) == PAIR.authorities


def test_what_is_no_bundle_is_overwritten() -> None:
    assert bundle(PAIR.authorities, b"no PEM", NOW, keep=True) == PAIR.authorities
    assert not same(PAIR.authorities, b"no PEM")
    assert not contains(b"no PEM", PAIR.authorities)


def test_bundles_are_the_same_in_any_order() -> None:
    one, other = PAIR.authorities, OTHER.authorities
    assert same(one + other, other + one)
    assert not same(one, one + other)
