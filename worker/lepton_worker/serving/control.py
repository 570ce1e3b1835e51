"""The service Control."""

import asyncio
import re
from collections.abc import AsyncGenerator

from lepton.v1 import control_pb2, control_pb2_grpc
from lepton_worker import __version__
from lepton_worker.backends.base import AdapterFacts
from lepton_worker.engine.worker import State, Worker
from lepton_worker.errors import AdapterNotFound, AdapterRefused, LoadError, Violation
from lepton_worker.serving import convert
from lepton_worker.serving.calls import Context
from lepton_worker.serving.load import load_message
from lepton_worker.serving.options import MESSAGE_BYTES
from lepton_worker.source.adapter import find_adapter
from lepton_worker.tasks.offers import calls

STATES = {
    State.LOADING: control_pb2.ModelInfo.STATE_LOADING,
    State.SERVING: control_pb2.ModelInfo.STATE_SERVING,
    State.DRAINING: control_pb2.ModelInfo.STATE_DRAINING,
}
ADAPTER_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
SHORTEST_INTERVAL, USUAL_INTERVAL = 0.1, 1.0
USUAL_STEPS, MOST_STEPS = 20, 1000


class ControlServicer(control_pb2_grpc.ControlServicer):
    """What this worker is, how busy it is, and which adapters it has."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._changing = asyncio.Lock()

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
            info.calls.extend(calls(model))
            info.choices.update(model.choices)
            info.cache_tokens = model.cache_tokens
            info.adapters.extend(sorted(worker.adapters))
        return info

    async def GetLoad(
        self, request: control_pb2.GetLoadRequest, context: Context
    ) -> control_pb2.Load:
        """Requests in hand."""
        return load_message(self._worker)

    async def WatchLoad(
        self, request: control_pb2.WatchLoadRequest, context: Context
    ) -> AsyncGenerator[control_pb2.Load, None]:
        """The load now, and again whenever the interval has passed."""
        asked = request.interval.ToTimedelta().total_seconds()
        interval = asked if request.HasField("interval") else USUAL_INTERVAL
        if interval < SHORTEST_INTERVAL:
            text = f"must be at least {SHORTEST_INTERVAL} s"
            convert.raise_for([Violation("interval", text)])
        while True:
            yield load_message(self._worker)
            await asyncio.sleep(interval)

    async def LoadAdapter(
        self, request: control_pb2.LoadAdapterRequest, context: Context
    ) -> control_pb2.Adapter:
        """Fetch it and load it between two steps; the same one again changes nothing."""
        worker = self._worker
        worker.engine()
        convert.raise_for(_violations(request))
        async with self._changing:
            known = worker.adapters.get(request.name)
            if known is not None:
                if known.source == request.source:
                    return _message(known)
                text = f"is loaded from {known.source}; unload it first, or take another name"
                convert.raise_for([Violation("name", text)])
            try:
                cache = worker.settings.cache_dir
                folder = await asyncio.to_thread(find_adapter, request.source, cache)
                facts = await worker.load_adapter(request.name, str(folder), request.source)
            except LoadError as error:
                raise AdapterRefused(error.message, metadata={"cause": error.reason}) from error
        return _message(facts)

    async def UnloadAdapter(
        self, request: control_pb2.UnloadAdapterRequest, context: Context
    ) -> control_pb2.UnloadAdapterResponse:
        """Take no further calls for it, and forget it when the last one has ended."""
        worker = self._worker
        async with self._changing:
            if request.name not in worker.adapters:
                known = ", ".join(sorted(worker.adapters)) or "none"
                raise AdapterNotFound(f"no adapter {request.name!r} is loaded; loaded: {known}")
            await worker.unload_adapter(request.name)
        return control_pb2.UnloadAdapterResponse()

    async def Profile(
        self, request: control_pb2.ProfileRequest, context: Context
    ) -> control_pb2.ProfileResponse:
        """Record the next steps; comes back when there were so many."""
        steps = request.steps or USUAL_STEPS
        if not 1 <= steps <= MOST_STEPS:
            convert.raise_for([Violation("steps", f"must be between 1 and {MOST_STEPS}")])
        profile = await self._worker.profile(steps, request.trace)
        return control_pb2.ProfileResponse(
            steps=profile.steps,
            operators=[
                control_pb2.ProfileResponse.Operator(
                    name=item.name,
                    calls=item.calls,
                    self_cpu=convert.duration(item.cpu_seconds),
                    self_device=convert.duration(item.device_seconds),
                )
                for item in profile.operators
            ],
            trace=profile.trace,
        )

    async def ListAdapters(
        self, request: control_pb2.ListAdaptersRequest, context: Context
    ) -> control_pb2.ListAdaptersResponse:
        """By name."""
        adapters = [_message(facts) for _, facts in sorted(self._worker.adapters.items())]
        return control_pb2.ListAdaptersResponse(adapters=adapters)


def _violations(request: control_pb2.LoadAdapterRequest) -> list[Violation]:
    found = []
    if not ADAPTER_NAME.fullmatch(request.name):
        text = "must be 1 to 63 letters, digits, - and _, the first and last neither - nor _"
        found.append(Violation("name", text))
    if not request.source:
        text = "must not be empty: a folder that the worker sees, or hf://organisation/adapter"
        found.append(Violation("source", text))
    return found


def _message(facts: AdapterFacts) -> control_pb2.Adapter:
    return control_pb2.Adapter(
        name=facts.name, source=facts.source, rank=facts.rank, bytes=facts.bytes
    )
