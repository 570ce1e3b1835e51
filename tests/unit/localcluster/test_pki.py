"""Certificates are what strict verifiers accept, from the authority that was meant."""

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from localcluster import pki


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> pki.Pki:
    return pki.create(tmp_path_factory.mktemp("pki"), "demo-node", "192.0.2.7", "10.245.0.1")


def load(pair: pki.KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.cert.read_bytes())


def test_the_server_is_known_by_every_name_it_is_called(material: pki.Pki) -> None:
    names = load(material.apiserver).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert "kubernetes.default.svc" in names.value.get_values_for_type(x509.DNSName)
    addresses = [str(one) for one in names.value.get_values_for_type(x509.IPAddress)]
    assert addresses == ["10.245.0.1", "192.0.2.7", "127.0.0.1"]


def test_the_server_passes_a_strict_verifier(material: pki.Pki) -> None:
    store = Store([load(material.cluster_ca)])
    verifier = PolicyBuilder().store(store)
    chain = verifier.build_server_verifier(x509.DNSName("localhost"))
    assert chain.verify(load(material.apiserver), [])


def test_groups_become_organisations(material: pki.Pki, tmp_path: Path) -> None:
    target = pki.KeyPair(tmp_path / "jane.crt", tmp_path / "jane.key")
    pki.issue(material.cluster_ca, target, "jane", ["a", "b"])
    subject = load(target).subject
    groups = [name.value for name in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    assert groups == ["a", "b"]
    assert subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "jane"


def test_the_front_proxy_has_an_authority_of_its_own(material: pki.Pki) -> None:
    client = load(material.front_proxy_client)
    client.verify_directly_issued_by(load(material.front_proxy_ca))
    with pytest.raises(ValueError, match="issuer"):
        client.verify_directly_issued_by(load(material.cluster_ca))


def test_keys_are_for_their_owner_only_and_fit(material: pki.Pki) -> None:
    for pair in (material.admin, material.cluster_ca, material.pair("kubelet")):
        assert pair.key.stat().st_mode & 0o777 == 0o600
        ssl.create_default_context().load_cert_chain(pair.cert, pair.key)


def test_the_kubelet_is_the_node(material: pki.Pki) -> None:
    subject = load(material.pair("kubelet")).subject
    assert subject.rfc4514_string() == "CN=system:node:demo-node,O=system:nodes"
