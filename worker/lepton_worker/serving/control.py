"""The service Control."""

from lepton.v1 import control_pb2, control_pb2_grpc
from lepton_worker import __version__
from lepton_worker.engine.worker import State, Worker
from lepton_worker.serving import convert
from lepton_worker.serving.calls import Context
from lepton_worker.serving.options import MESSAGE_BYTES

STATES = {
    State.LOADING: control_pb2.ModelInfo.STATE_LOADING,
    State.SERVING: control_pb2.ModelInfo.STATE_SERVING,
    State.DRAINING: control_pb2.ModelInfo.STATE_DRAINING,
}


class ControlServicer(control_pb2_grpc.ControlServicer):
    """What this worker is and how busy it is."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def GetModelInfo(
        self, request: control_pb2.GetModelInfoRequest, context: Context
    ) -> control_pb2.ModelInfo:
        """All that is known; little while the model loads."""
        worker = self._worker
        info = control_pb2.ModelInfo(
            name=worker.settings.model_name,
            state=STATES[worker.state],
            source=worker.settings.source,
            max_message_bytes=MESSAGE_BYTES,
            version=__version__,
        )
        for phase, seconds in worker.start_up.items():
            info.start_up[phase].CopyFrom(convert.duration(seconds))
        model = worker.model
        if model is not None:
            info.task = model.task.value
            info.architecture = model.architecture
            info.backend = model.backend
            info.device = model.device
            info.dtype = model.dtype
            info.max_length = model.max_length
            info.labels.extend(model.labels)
            info.dimensions = model.dimensions
        return info

    async def GetLoad(
        self, request: control_pb2.GetLoadRequest, context: Context
    ) -> control_pb2.Load:
        """Requests in hand."""
        load = self._worker.load
        return control_pb2.Load(
            waiting=load.waiting,
            running=load.running,
            max_waiting=load.max_waiting,
            draining=self._worker.state is State.DRAINING,
        )
