"""What loading left to be done behind the first answers."""

from lepton_worker.backends.base import Backend, Unfinished


class Later:
    """A piece after each step, and one after the other while there is nothing else to do.

    Nothing is done before the first step: who asks first would wait for it, and as long as nobody
    asks there is no hurry.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend if isinstance(backend, Unfinished) else None
        self._begun = False

    @property
    def due(self) -> bool:
        """Whether there is something to do now."""
        return self._begun and self._backend is not None

    def stepped(self) -> None:
        """A step has been computed, and told of."""
        self._begun = True

    def go_on(self) -> None:
        """Do a piece, if any is due."""
        if self._begun and self._backend is not None and not self._backend.go_on():
            self._backend = None
