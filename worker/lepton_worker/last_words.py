"""Why a worker could not serve, left where Kubernetes finds it after the process has ended."""

import json
import logging
from pathlib import Path

from lepton_worker.errors import LoadError

log = logging.getLogger(__name__)

LONGEST = 4096
"""Bytes of the file that Kubernetes keeps."""


def last_words(file: Path, error: LoadError) -> None:
    """Write reason and message as JSON, if the file can be written; otherwise the log has them."""
    try:
        file.write_bytes(_fitting(error.reason, error.message))
    except OSError as problem:
        log.debug("no termination message at %s: %s", file, problem)


def _fitting(reason: str, message: str) -> bytes:
    """The JSON object, its message shortened until the whole is no longer than it may be."""
    while True:
        text = json.dumps({"reason": reason, "message": message}, ensure_ascii=False)
        encoded = text.encode(errors="replace")
        if len(encoded) <= LONGEST:
            return encoded
        message = message[: len(message) * 9 // 10]
