"""The processes of one cluster by component name: start, stop, wait until ready, read logs."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from localcluster import components, processes
from localcluster.errors import ComponentFailed, DeadlinePassed, Refused
from localcluster.paths import Run
from localcluster.waiting import until

TAIL = 30


class Supervisor:
    """Starts and stops what belongs to one run folder."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def launch(
        self, component: str, argv: tuple[str, ...], env: Mapping[str, str] | None = None
    ) -> None:
        """Start a component and keep a record of it."""
        record = processes.spawn(argv, self._run.log(component), self._run.root, env)
        processes.save(record, self._record(component))

    def names(self) -> list[str]:
        """Return the components that were ever started."""
        return sorted(path.stem for path in self._run.processes.glob("*.json"))

    def is_running(self, component: str) -> bool:
        """Whether the component's process is alive."""
        record = processes.load(self._record(component))
        return record is not None and record.process.is_alive

    def process_id(self, component: str) -> int:
        """Return the process id of a component that was started."""
        return self._known(component).pid

    def stop(self, component: str, grace: float = 10) -> None:
        """End a component's process."""
        processes.stop([self._known(component).process], grace=grace)

    def stop_all(self, names: Iterable[str], grace: float = 5) -> None:
        """End several components at once; those never started are left out."""
        records = [processes.load(self._record(name)) for name in names]
        processes.stop([record.process for record in records if record], grace=grace)

    def start_again(self, component: str, flags: Mapping[str, str] | None = None) -> None:
        """Start a stopped component, with some of its flags replaced if wanted."""
        record = self._known(component)
        if record.process.is_alive:
            raise Refused(f"{component} is running: stop it first")
        self.launch(component, components.overridden(record.argv, flags or {}))

    def await_ready(
        self, component: str, probe: Callable[[], bool | None], timeout: float = 60
    ) -> None:
        """Wait until the component answers; its death or silence shows the end of its log."""

        def ready_or_dead() -> bool:
            if not self.is_running(component):
                raise self.failure(component, "ended")
            return bool(probe())

        try:
            until(ready_or_dead, component, timeout)
        except DeadlinePassed:
            raise self.failure(component, f"was not ready within {timeout:g} s") from None

    def failure(self, component: str, reason: str) -> ComponentFailed:
        """Return an error about a component, with the end of its log."""
        log = self._run.log(component)
        return ComponentFailed(component, reason, log, self.tail(component, TAIL))

    def tail(self, component: str, lines: int) -> str:
        """Return the last lines a component logged."""
        try:
            text = self._run.log(component).read_text(errors="replace")
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:])

    def _known(self, component: str) -> processes.Record:
        record = processes.load(self._record(component))
        if record is None:
            raise Refused(
                f"cluster {self._run.name} has no component {component!r}; "
                f"it has {', '.join(self.names())}"
            )
        return record

    def _record(self, component: str) -> Path:
        return self._run.processes / f"{component}.json"
