"""The metrics API: queue depths of all models, collected and served as external.metrics.k8s.io."""

import asyncio
import os

from lepton_operator.settings import Settings


def run(settings: Settings) -> None:
    """Serve until told to stop by SIGTERM or SIGINT."""
    # gRPC writes a line of its own for each worker that hangs up; we report that ourselves.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    # Imported here, so that the pure parts of this room can be used without aiohttp and gRPC.
    from lepton_operator.metrics.process import serve

    asyncio.run(serve(settings))
