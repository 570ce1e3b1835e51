"""Asking a component over HTTP whether it is ready."""

import http.client
import ssl
import urllib.error
import urllib.request

from localcluster.pki import KeyPair

TIMEOUT = 2.0


def answers(url: str, *, authority: KeyPair | None = None, client: KeyPair | None = None) -> bool:
    """Whether a GET of that address succeeds; without an authority, any certificate will do."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT, context=_context(url, authority, client)):
            return True
    except (urllib.error.URLError, OSError, http.client.HTTPException):
        return False


def _context(url: str, authority: KeyPair | None, client: KeyPair | None) -> ssl.SSLContext | None:
    if not url.startswith("https:"):
        return None
    context = ssl.create_default_context(cafile=str(authority.cert) if authority else None)
    if authority is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if client:
        context.load_cert_chain(client.cert, client.key)
    return context
