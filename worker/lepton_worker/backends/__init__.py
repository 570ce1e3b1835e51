"""Backends by name. Importing this package loads no engine; opening a backend does."""

from lepton_worker.backends.base import Backend


def open_backend(name: str, step_seconds: float = 0.0) -> Backend:
    """The backend of that name; takes as long as its imports do.

    `auto` is `native`, which leaves models that it does not fit to stock transformers.
    """
    if name == "echo":
        from lepton_worker.backends.echo import EchoBackend

        return EchoBackend(step_seconds)
    if name == "transformers":
        from lepton_worker.backends.transformers.backend import TransformersBackend

        return TransformersBackend()
    from lepton_worker.backends.native.backend import NativeBackend

    return NativeBackend(strict=name == "native")
