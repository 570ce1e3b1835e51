"""The local registry: what a node pulls our images from."""

import urllib.error
import urllib.request

from localcluster.probes import TIMEOUT

MEDIA_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


def digest(port: int, repository: str, tag: str) -> str | None:
    """Return the digest of an image the registry has; None when it has none of that name."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v2/{repository}/manifests/{tag}",
        method="HEAD",
        headers={"Accept": ", ".join(MEDIA_TYPES)},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            return str(answer.headers["Docker-Content-Digest"])
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 404:
            return None
        raise
