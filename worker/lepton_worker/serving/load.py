"""How busy a worker is, in the forms in which others ask for it."""

from lepton.v1 import control_pb2
from lepton_worker.engine.worker import State, Worker
from lepton_worker.serving import convert


def load_message(worker: Worker) -> control_pb2.Load:
    """The load now."""
    load = worker.load
    return control_pb2.Load(
        waiting=load.waiting,
        running=load.running,
        max_waiting=load.max_waiting,
        draining=worker.state is State.DRAINING,
        waiting_tokens=load.waiting_tokens,
        estimated_wait=convert.duration(load.estimated_wait),
        cache_usage=load.cache_usage,
        max_running=load.max_running,
    )
