"""Backends by name. Importing this package loads no engine; opening a backend does."""

from lepton_worker.backends.base import Backend


def open_backend(name: str, step_seconds: float = 0.0) -> Backend:
    """The backend of that name; `auto` is `transformers`. Takes as long as its imports do."""
    if name == "echo":
        from lepton_worker.backends.echo import EchoBackend

        return EchoBackend(step_seconds)
    from lepton_worker.backends.transformers.backend import TransformersBackend

    return TransformersBackend()
