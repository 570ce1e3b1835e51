"""KServe's SDK with a model of our own: `kserve_server FOLDER TASK PORT`."""

import sys

import kserve  # type: ignore[import-not-found,import-untyped,unused-ignore]

from lepton_bench.engine.peers.encoder import Encoder


class Served(kserve.Model):  # type: ignore[misc,unused-ignore]
    """As its guide writes a custom predictor; it joins no requests."""

    def __init__(self, folder: str, task: str) -> None:
        super().__init__("model")
        self._encoder = Encoder(folder, task)
        self.ready = True

    def predict(
        self, payload: dict[str, list[str]], headers: dict[str, str] | None = None
    ) -> dict[str, list[list[float]]]:
        """The instances of one request, in one batch."""
        return {"predictions": self._encoder.predict(payload["instances"])}


if __name__ == "__main__":
    folder, task, port = sys.argv[1:]
    kserve.ModelServer(http_port=int(port), enable_grpc=False).start([Served(folder, task)])
