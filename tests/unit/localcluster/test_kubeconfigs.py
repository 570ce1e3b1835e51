"""A kubeconfig can be copied elsewhere: it carries what it needs."""

import base64

import yaml

from localcluster import kubeconfigs


def test_a_kubeconfig_carries_its_certificates() -> None:
    parsed = yaml.safe_load(kubeconfigs.render("me", "https://h:1", b"ca", b"cert", b"key"))
    (cluster,), (user,), (context,) = parsed["clusters"], parsed["users"], parsed["contexts"]
    assert cluster["cluster"]["server"] == "https://h:1"
    assert base64.b64decode(cluster["cluster"]["certificate-authority-data"]) == b"ca"
    assert base64.b64decode(user["user"]["client-certificate-data"]) == b"cert"
    assert base64.b64decode(user["user"]["client-key-data"]) == b"key"
    assert context["context"] == {"cluster": "me", "user": "me"}
    assert parsed["current-context"] == "me"
