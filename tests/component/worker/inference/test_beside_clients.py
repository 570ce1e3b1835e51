"""Clients register the protocol for their whole process; a worker in the same one does not mind."""

from collections.abc import Callable
from typing import Any

import pytest

from lepton_testing.clients import KSERVE, TRITON, Client

pytestmark = pytest.mark.component


@pytest.mark.parametrize(
    ("client", "module", "worker_first"),
    [(TRITON, "tritonclient.grpc", False), (KSERVE, "kserve", True)],
    ids=["tritonclient, then the worker", "the worker, then kserve"],
)
def test_a_worker_and_a_client_share_a_process(
    run_client: Callable[..., Any], client: Client, module: str, worker_first: bool
) -> None:
    found = run_client(client, "beside", {"client": module, "worker_first": worker_first})
    assert found == {"texts": ["hello"], "files": 2}
