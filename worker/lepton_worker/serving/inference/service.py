"""The service GRPCInferenceService."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from lepton_worker.engine.worker import Worker
from lepton_worker.serving.accounts import Accounts
from lepton_worker.serving.calls import Context
from lepton_worker.serving.inference import facts, messages
from lepton_worker.serving.inference.infer import Inference
from lepton_worker.serving.inference.stream import InferStream
from lepton_worker.serving.interceptor import OpenCalls
from lepton_worker.serving.private_pool import decoded


class InferenceServicer:
    """Answers in the Open Inference Protocol. Requests come as bytes; see PrivatePool.handler."""

    def __init__(self, worker: Worker, accounts: Accounts, calls: OpenCalls) -> None:
        self._worker = worker
        self._accounts = accounts
        self._calls = calls
        self._inference = Inference(worker)

    async def ServerLive(self, data: bytes, context: Context) -> Any:
        """It answers."""
        return messages.ServerLiveResponse(live=True)

    async def ServerReady(self, data: bytes, context: Context) -> Any:
        """Whether requests are taken."""
        return messages.ServerReadyResponse(ready=facts.server_ready(self._worker))

    async def ModelReady(self, data: bytes, context: Context) -> Any:
        """Whether requests to a name are taken."""
        request = decoded(messages.ModelReadyRequest, data)
        return messages.ModelReadyResponse(ready=facts.model_ready(self._worker, request))

    async def ServerMetadata(self, data: bytes, context: Context) -> Any:
        """Name, version and extensions."""
        return facts.server_metadata()

    async def ModelMetadata(self, data: bytes, context: Context) -> Any:
        """Inputs and outputs."""
        return facts.model_metadata(self._worker, decoded(messages.MetadataRequest, data))

    async def ModelConfig(self, data: bytes, context: Context) -> Any:
        """Inputs and outputs as Triton tells them."""
        return facts.model_config(self._worker, decoded(messages.ConfigRequest, data))

    async def ModelStatistics(self, data: bytes, context: Context) -> Any:
        """What requests to this service cost."""
        request = decoded(messages.StatisticsRequest, data)
        facts.check_name(self._worker, request.name, request.version)
        worker = self._worker
        return self._inference.statistics.message(worker.settings.model_name, worker.metrics)

    async def RepositoryIndex(self, data: bytes, context: Context) -> Any:
        """The model and its adapters."""
        return facts.repository_index(self._worker, decoded(messages.IndexRequest, data))

    async def ModelInfer(self, data: bytes, context: Context) -> Any:
        """One answer to one request."""
        return await self._inference.whole(decoded(messages.InferRequest, data), context)

    async def ModelStreamInfer(
        self, requests: AsyncIterator[bytes], context: Context
    ) -> AsyncGenerator[Any, None]:
        """Many requests, each with as many answers as it takes."""
        stream = InferStream(self._inference, self._accounts, self._calls, context)
        async with contextlib.aclosing(stream.answers(requests)) as answers:
            async for message in answers:
                yield message
