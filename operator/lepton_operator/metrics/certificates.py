"""Serving certificates: how they are made, kept in a Secret, judged and handed over."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE = timedelta(days=90)
SKEW = timedelta(hours=1)
"""How far another machine's clock may be behind."""

_AUTHORITIES, _CERTIFICATE, _KEY = "ca.crt", "tls.crt", "tls.key"


@dataclass(frozen=True)
class Pair:
    """Certificate (with its chain), its key, and the authorities to be trusted for it; all PEM."""

    authorities: bytes
    certificate: bytes
    key: bytes


def names(service: str, namespace: str) -> tuple[str, ...]:
    """DNS names of a Service. kube-apiserver always asks for the first."""
    full = f"{service}.{namespace}.svc"
    return (full, f"{full}.cluster.local", f"{service}.{namespace}", service)


def issued(dns_names: Sequence[str], now: datetime) -> Pair:
    """A new certificate of a new authority, whose key is thrown away at once."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key, now)
    return Pair(
        authorities=_pem(authority),
        certificate=_pem(_leaf(key, dns_names, authority, authority_key)),
        key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def fault(pair: Pair | None, dns_names: Sequence[str], now: datetime) -> str | None:
    """Why a pair cannot be served; None when it can."""
    if pair is None:
        return "there is none"
    try:
        certificate, *chain = x509.load_pem_x509_certificates(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, password=None)
        issuers = [*chain, *_certificates(pair.authorities)]
    except (ValueError, TypeError) as error:
        return f"it cannot be read: {error}"
    if key.public_key() != certificate.public_key():
        return "its key is another one's"
    if missing := set(dns_names[:1]) - set(_dns_names(certificate)):
        return f"it is not for {', '.join(missing)}"
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        return f"it is valid from {certificate.not_valid_before_utc} to {expiry(pair)}"
    if pair.authorities and not any(_issued_by(certificate, issuer) for issuer in issuers):
        return f"its authority is not in {_AUTHORITIES}"
    return None


def is_due(pair: Pair, now: datetime) -> bool:
    """Whether a pair without fault should be replaced: a third of its life is left."""
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now >= end - (end - start) / 3


def expiry(pair: Pair) -> datetime:
    """When the certificate ends."""
    return x509.load_pem_x509_certificate(pair.certificate).not_valid_after_utc


def from_secret(secret: Mapping[str, Any] | None) -> Pair | None:
    """The pair in a Secret, None without certificate or key; `ca.crt` may be missing."""
    data = (secret or {}).get("data") or {}
    try:
        parts = {
            name: base64.b64decode(data.get(name) or "")
            for name in (_AUTHORITIES, _CERTIFICATE, _KEY)
        }
    except (binascii.Error, ValueError):
        return None
    if not parts[_CERTIFICATE] or not parts[_KEY]:
        return None
    return Pair(parts[_AUTHORITIES], parts[_CERTIFICATE], parts[_KEY])


def secret_data(pair: Pair) -> dict[str, str]:
    """The `data` of a Secret that holds the pair."""
    parts = {_AUTHORITIES: pair.authorities, _CERTIFICATE: pair.certificate, _KEY: pair.key}
    return {name: base64.b64encode(part).decode() for name, part in parts.items()}


def bundle(wanted: bytes, present: bytes, now: datetime, *, keep: bool) -> bytes:
    """Authorities (PEM) that callers shall trust: the wanted ones and, to `keep` what another
    replica may still serve a certificate of, whatever is present and not expired.
    """
    first = _certificates(wanted)
    others = [
        found
        for found in _readable(present)
        if keep and found not in first and found.not_valid_after_utc > now
    ]
    return b"".join(_pem(found) for found in (*first, *others))


def same(one: bytes, other: bytes) -> bool:
    """Whether two bundles (PEM) name the same authorities."""
    return set(_readable(one)) == set(_readable(other))


def contains(present: bytes, wanted: bytes) -> bool:
    """Whether a bundle (PEM) names all wanted authorities."""
    return set(_readable(present)) >= set(_readable(wanted))


def _authority(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    # A name of its own: verifiers find an authority among several by it.
    subject = _name(f"lepton-metrics authority {now:%Y-%m-%dT%H:%M:%SZ}")
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _leaf(
    key: ec.EllipticCurvePrivateKey,
    dns_names: Sequence[str],
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in dns_names])
    return (
        x509.CertificateBuilder()
        .subject_name(_name("lepton-metrics"))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(authority.not_valid_before_utc)
        .not_valid_after(authority.not_valid_after_utc)
        .add_extension(alternatives, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer_key, critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _certificates(pem: bytes) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(pem) if pem.strip() else []


def _readable(pem: bytes) -> list[x509.Certificate]:
    """Certificates of a bundle that somebody else may have written; none when it is not one."""
    try:
        return _certificates(pem)
    except ValueError:
        return []


def _dns_names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return found.value.get_values_for_type(x509.DNSName)


def _issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
