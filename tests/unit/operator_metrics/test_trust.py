"""Front-proxy rules and who is let in by them."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from lepton_operator.metrics.certificates import issued
from lepton_operator.metrics.trust import Trust, TrustUnknown, refusal, trust

AUTHORITY = issued(["any"], datetime.now(UTC)).authorities.decode()
RULES = Trust(AUTHORITY, frozenset({"front-proxy-client"}), ("X-Remote-User", "X-User"))
HPA = {"X-Remote-User": "system:serviceaccount:kube-system:horizontal-pod-autoscaler"}


def a_config_map(**changes: str | None) -> dict[str, Any]:
    data: dict[str, str | None] = {
        "requestheader-client-ca-file": AUTHORITY,
        "requestheader-allowed-names": json.dumps(["front-proxy-client"]),
        "requestheader-username-headers": json.dumps(["X-Remote-User", "X-User"]),
    }
    changed = {name.replace("_", "-"): value for name, value in changes.items()}
    return {
        "data": {name: value for name, value in {**data, **changed}.items() if value is not None}
    }


def a_certificate(*names: str) -> dict[str, Any]:
    return {"subject": tuple((("commonName", name),) for name in names)}


def test_the_config_map_is_read() -> None:
    assert trust(a_config_map()) == RULES


@pytest.mark.parametrize("names", [None, "", "[]"])
def test_no_names_mean_any_name(names: str | None) -> None:
    rules = trust(a_config_map(requestheader_allowed_names=names))
    assert rules.names == frozenset()
    assert refusal(rules, a_certificate("whoever"), HPA) is None


@pytest.mark.parametrize(
    ("config_map", "words"),
    [
        (None, "does not exist"),
        ({}, "has no requestheader-client-ca-file"),
        ({"data": None}, "has no requestheader-client-ca-file"),
        (a_config_map(requestheader_client_ca_file=" "), "has no requestheader-client-ca-file"),
        (a_config_map(requestheader_client_ca_file="no PEM"), "cannot be read"),
        (a_config_map(requestheader_allowed_names="front-proxy-client"), "cannot be read"),
        (a_config_map(requestheader_allowed_names='{"a": 1}'), "cannot be read"),
        (a_config_map(requestheader_allowed_names="[1]"), "cannot be read"),
    ],
)
def test_whom_to_trust_is_unknown_rather_than_anybody(
    config_map: Mapping[str, Any] | None, words: str
) -> None:
    with pytest.raises(TrustUnknown, match="extension-apiserver-authentication") as caught:
        trust(config_map)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("rules", "certificate", "headers", "words"),
    [
        (None, a_certificate("front-proxy-client"), HPA, "not known whose client certificates"),
        (RULES, None, HPA, "a client certificate"),
        (RULES, {}, HPA, "a client certificate"),
        (RULES, a_certificate("somebody"), HPA, "'somebody' is not one of"),
        (RULES, a_certificate("front-proxy-client", "somebody"), HPA, "'somebody' is not one of"),
        (RULES, a_certificate(), HPA, "'' is not one of"),
        (RULES, a_certificate("front-proxy-client"), {}, "names no user"),
        (RULES, a_certificate("front-proxy-client"), {"X-Remote-User": ""}, "names no user"),
    ],
)
def test_others_are_refused_with_the_reason(
    rules: Trust | None, certificate: dict[str, Any] | None, headers: dict[str, str], words: str
) -> None:
    found = refusal(rules, certificate, headers)
    assert found is not None
    assert words in found


@pytest.mark.parametrize("header", ["X-Remote-User", "X-User"])
def test_the_front_proxy_is_let_in_without_any_group(header: str) -> None:
    assert refusal(RULES, a_certificate("front-proxy-client"), {header: "someone"}) is None
