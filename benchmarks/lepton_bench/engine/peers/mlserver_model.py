"""A runtime for MLServer; the server joins requests by itself (adaptive batching)."""

import asyncio
from typing import Any

from mlserver import MLModel  # type: ignore[import-not-found,import-untyped,unused-ignore]
from mlserver.codecs import NumpyCodec, StringCodec  # type: ignore[import-not-found,import-untyped,unused-ignore]
from mlserver.types import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
    InferenceRequest,
    InferenceResponse,
)

from lepton_bench.engine.peers.encoder import Encoder


class Runtime(MLModel):  # type: ignore[misc,unused-ignore]
    """As its guide writes a custom runtime, with the computation in a thread."""

    async def load(self) -> bool:
        """Load the folder and task named in the settings."""
        extra: dict[str, Any] = self.settings.parameters.extra
        self._encoder = Encoder(extra["folder"], extra["task"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """All texts of the joined request, in one batch."""
        import numpy as np

        texts = StringCodec.decode_input(payload.inputs[0])
        values = await asyncio.to_thread(self._encoder.predict, texts)
        output = NumpyCodec.encode_output("values", np.asarray(values, np.float32))
        return InferenceResponse(model_name=self.name, outputs=[output])
