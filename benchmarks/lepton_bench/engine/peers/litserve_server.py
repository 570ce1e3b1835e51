"""LitServe with batches: `litserve_server FOLDER TASK PORT BATCH`."""

import sys
from typing import Any

import litserve  # type: ignore[import-not-found,import-untyped,unused-ignore]

from lepton_bench.engine.peers.encoder import Encoder


class Api(litserve.LitAPI):  # type: ignore[misc,unused-ignore]
    """As its guide writes an API with batches."""

    def __init__(self, folder: str, task: str, batch: int) -> None:
        super().__init__(max_batch_size=batch, batch_timeout=0.01)
        self._folder, self._task = folder, task

    def setup(self, device: str) -> None:
        """Load the model in the process that computes."""
        self._encoder = Encoder(self._folder, self._task)

    def decode_request(self, request: dict[str, str]) -> str:
        """The text."""
        return request["text"]

    def predict(self, x: str | list[str]) -> Any:
        """A batch, or one text when batches are of one."""
        return self._encoder.predict(x) if isinstance(x, list) else self._encoder.predict([x])[0]

    def encode_response(self, output: list[float]) -> dict[str, list[float]]:
        """The numbers."""
        return {"values": output}


if __name__ == "__main__":
    folder, task, port, batch = sys.argv[1:]
    server = litserve.LitServer(Api(folder, task, int(batch)), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(port), generate_client_file=False, log_level="warning")
