"""Where the ends of calls to the model are written down: metrics and load reports."""

from lepton_worker.metrics import Metrics
from lepton_worker.serving.orca import LoadReporter


class Accounts:
    """Told of each call to the model, and of each request of a stream that has several."""

    def __init__(self, metrics: Metrics, reporter: LoadReporter) -> None:
        self._metrics = metrics
        self.reporter = reporter

    def answered(self, code: str, reason: str, seconds: float) -> None:
        """One has ended with a status code, and with a reason unless it was answered."""
        self._metrics.answered(code, reason)
        self._metrics.request_duration.observe(seconds)
        self.reporter.answered(code)
