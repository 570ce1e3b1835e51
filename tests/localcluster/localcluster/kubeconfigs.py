"""Kubeconfig files: who may speak to which API server."""

import base64
import json

from localcluster.pki import KeyPair


def render(name: str, server: str, authority: bytes, cert: bytes, key: bytes) -> str:
    """Return a kubeconfig that carries its certificates, so that the file can be copied."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [
            {
                "name": name,
                "cluster": {"server": server, "certificate-authority-data": _encoded(authority)},
            }
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": _encoded(cert),
                    "client-key-data": _encoded(key),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    # JSON is YAML, and needs nobody to quote anything.
    return json.dumps(content, indent=2) + "\n"


def for_pair(name: str, server: str, authority: KeyPair, user: KeyPair) -> str:
    """Return the kubeconfig of a user whose certificate lies in files."""
    return render(
        name,
        server,
        authority.cert.read_bytes(),
        user.cert.read_bytes(),
        user.key.read_bytes(),
    )


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()
