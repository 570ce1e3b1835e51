"""Why a worker could not serve, left where Kubernetes finds it after the process has ended."""

import json
import logging
from pathlib import Path

from lepton_worker.errors import LoadError

log = logging.getLogger(__name__)

LONGEST = 3500
"""Bytes of a message; Kubernetes cuts the whole file at 4096."""


def last_words(file: Path, error: LoadError) -> None:
    """Write reason and message as JSON, if the file can be written; otherwise the log has them."""
    message = error.message.encode()[:LONGEST].decode(errors="ignore")
    try:
        file.write_text(json.dumps({"reason": error.reason, "message": message}))
    except OSError as problem:
        log.debug("no termination message at %s: %s", file, problem)
