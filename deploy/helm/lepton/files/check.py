"""Asks the API server, as any client would, whether this installation answers (`helm test`)."""

import json
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence

SERVER = "https://kubernetes.default.svc"
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
PATIENCE_SECONDS = 90.0


class Client:
    """A client with the identity of the pod's ServiceAccount."""

    def __init__(self, server: str = SERVER, account: str = ACCOUNT) -> None:
        self._server = server
        self._account = account
        self._trust = ssl.create_default_context(cafile=f"{account}/ca.crt")

    def resources(self, path: str) -> set[str]:
        """Names of the resources that are served under a group and version."""
        with open(f"{self._account}/token") as file:
            header = {"Authorization": f"Bearer {file.read().strip()}"}
        request = urllib.request.Request(self._server + path, headers=header)
        with urllib.request.urlopen(request, timeout=10, context=self._trust) as answer:
            return {entry["name"] for entry in json.load(answer)["resources"]}

    def complaint(self, path: str, wanted: str) -> str | None:
        """Why `wanted` is not served under `path`; None when it is."""
        try:
            found = self.resources(path)
        except urllib.error.HTTPError as error:
            with error:
                return f"{path}: {error.code} {error.read(2000).decode(errors='replace').strip()}"
        except (OSError, ValueError) as error:
            return f"{path}: {error}"
        return None if wanted in found else f"{path}: {wanted} is not among {sorted(found)}"


def main(checks: Sequence[str], client: Client, patience: float = PATIENCE_SECONDS) -> int:
    """Repeat each check, given as PATH=RESOURCE, until it passes or patience ends."""
    deadline = time.monotonic() + patience
    for check in checks:
        path, _, wanted = check.partition("=")
        while trouble := client.complaint(path, wanted):
            if time.monotonic() > deadline:
                sys.stderr.write(f"{trouble}\n")
                return 1
            time.sleep(2)
        sys.stdout.write(f"{path}: serves {wanted}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Client()))
