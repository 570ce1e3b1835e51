"""Keys and certificates: two authorities, the cluster's own and the one of the front proxy."""

import datetime
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=365)
CLOCK_SKEW = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class KeyPair:
    """A certificate and its private key, as PEM files."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class Pki:
    """The material of one cluster, all in one folder."""

    root: Path

    def pair(self, name: str) -> KeyPair:
        """Return the files of that name."""
        return KeyPair(self.root / f"{name}.crt", self.root / f"{name}.key")

    @property
    def cluster_ca(self) -> KeyPair:
        """The authority of API server, kubelet and every ordinary client."""
        return self.pair("ca")

    @property
    def front_proxy_ca(self) -> KeyPair:
        """The authority that aggregated APIs trust to speak for other users."""
        return self.pair("front-proxy-ca")

    @property
    def front_proxy_client(self) -> KeyPair:
        """What the API server shows to aggregated APIs."""
        return self.pair("front-proxy-client")

    @property
    def service_accounts(self) -> KeyPair:
        """The key pair that signs service account tokens."""
        return self.pair("service-accounts")

    @property
    def apiserver(self) -> KeyPair:
        """What the API server shows to its clients."""
        return self.pair("apiserver")

    @property
    def kubelet_client(self) -> KeyPair:
        """What the API server shows to the kubelet."""
        return self.pair("apiserver-kubelet-client")

    @property
    def admin(self) -> KeyPair:
        """The administrator."""
        return self.pair("admin")


def create(root: Path, node_name: str, host_ip: str, kubernetes_ip: str) -> Pki:
    """Make everything one cluster needs."""
    root.mkdir(parents=True, exist_ok=True)
    pki = Pki(root)
    _authority(pki.cluster_ca, "lepton-localcluster-ca")
    _authority(pki.front_proxy_ca, "lepton-localcluster-front-proxy-ca")
    _authority(pki.service_accounts, "lepton-localcluster-service-accounts")
    service = "kubernetes.default.svc"
    names = [service, f"{service}.cluster.local", kubernetes_ip, host_ip, "127.0.0.1", "localhost"]
    ca = pki.cluster_ca
    issue(ca, pki.apiserver, "kube-apiserver", names=names)
    issue(ca, pki.kubelet_client, "kube-apiserver-kubelet-client", ["system:masters"])
    issue(ca, pki.admin, "lepton-admin", ["system:masters"])
    issue(ca, pki.pair("kube-controller-manager"), "system:kube-controller-manager")
    issue(ca, pki.pair("kube-scheduler"), "system:kube-scheduler")
    issue(ca, pki.pair("kube-proxy"), "system:kube-proxy")
    # DNS reads Services and EndpointSlices as its own user, bound to a role of its own.
    issue(ca, pki.pair("coredns"), "system:coredns")
    issue(
        ca, pki.pair("kubelet"), f"system:node:{node_name}", ["system:nodes"],
        names=[node_name, host_ip],
    )  # fmt: skip
    issue(pki.front_proxy_ca, pki.front_proxy_client, "front-proxy-client")
    return pki


def issue(
    authority: KeyPair,
    target: KeyPair,
    common_name: str,
    groups: Sequence[str] = (),
    *,
    names: Iterable[str] = (),
) -> KeyPair:
    """Sign a new certificate, for clients and, when it carries names, for servers too."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(authority.cert.read_bytes())
    signer = serialization.load_pem_private_key(authority.key.read_bytes(), None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{authority.key} holds no elliptic curve key")
    alternatives = [_general_name(name) for name in names]
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if alternatives:
        usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
    builder = _builder(_subject(common_name, groups), issuer.subject, key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
    builder = builder.add_extension(_key_usage(signs_certificates=False), True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), False)
    builder = builder.add_extension(
        # Strict verifiers, as Python's since 3.13, refuse a certificate without it.
        x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
        False,
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), False)
    _write(target, builder.sign(signer, hashes.SHA256()), key)
    return target


def _authority(target: KeyPair, common_name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(common_name, ())
    builder = _builder(subject, subject, key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
    builder = builder.add_extension(_key_usage(signs_certificates=True), True)
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False
    )
    _write(target, builder.sign(key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + LIFETIME)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(common_name: str, groups: Sequence[str]) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write(target: KeyPair, cert: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    target.cert.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    target.key.touch(mode=0o600)
    target.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
