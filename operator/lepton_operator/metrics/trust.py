"""Whose word on a caller is taken: the front proxy's, as kube-apiserver publishes it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509

NAMESPACE = "kube-system"
CONFIG_MAP = "extension-apiserver-authentication"
_AUTHORITY = "requestheader-client-ca-file"
_NAMES = "requestheader-allowed-names"
_USERS = "requestheader-username-headers"


class TrustUnknown(ValueError):
    """The ConfigMap does not say whom to trust; nobody is, then."""


@dataclass(frozen=True)
class Trust:
    """Whose word on a user is taken: a certificate of one of these authorities (PEM), with one of
    these names (any name when there are none); the user is in one of these headers.
    """

    authorities: str
    names: frozenset[str]
    user_headers: tuple[str, ...]


def trust(config_map: Mapping[str, Any] | None) -> Trust:
    """Read the ConfigMap. Raises TrustUnknown, which says what is missing."""
    data = (config_map or {}).get("data") or {}
    where = f"ConfigMap {NAMESPACE}/{CONFIG_MAP}"
    if config_map is None:
        raise TrustUnknown(f"{where} does not exist")
    if not data.get(_AUTHORITY, "").strip():
        raise TrustUnknown(
            f"{where} has no {_AUTHORITY}: kube-apiserver needs --requestheader-client-ca-file"
        )
    try:
        names, headers = _strings(data.get(_NAMES)), _strings(data.get(_USERS))
        x509.load_pem_x509_certificates(data[_AUTHORITY].encode())
    except ValueError as error:
        raise TrustUnknown(f"{where} cannot be read: {error}") from error
    return Trust(data[_AUTHORITY], frozenset(names), headers)


def refusal(
    trust: Trust | None, certificate: Mapping[str, Any] | None, headers: Mapping[str, str]
) -> str | None:
    """Why a call is not authenticated; None when it is.

    `certificate` is the peer's as `ssl.SSLSocket.getpeercert` describes it, verified against
    `trust.authorities` by the TLS handshake; empty or None without one.
    """
    if trust is None:
        return "it is not known whose client certificates to trust"
    if not certificate:
        return "a client certificate of the API server's front proxy is required"
    name = _common_name(certificate.get("subject", ()))
    if trust.names and name not in trust.names:
        return f"client certificate name {name!r} is not one of the front proxy's"
    if not any(headers.get(header) for header in trust.user_headers):
        return "the front proxy names no user"
    return None


def _strings(text: str | None) -> tuple[str, ...]:
    found = json.loads(text) if text else []
    if not isinstance(found, list) or not all(isinstance(entry, str) for entry in found):
        raise ValueError(f"{text!r} is no list of names")
    return tuple(found)


def _common_name(subject: Sequence[Sequence[tuple[str, str]]]) -> str:
    names = [value for part in subject for key, value in part if key == "commonName"]
    return names[-1] if names else ""
