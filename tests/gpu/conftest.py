"""Everything here is marked `gpu`, and skipped with a clear word where there is no CUDA device."""

import pytest
import torch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies here."""
    absent = pytest.mark.skip(reason="no CUDA device is seen here: nothing of this was shown")
    for item in items:
        if "gpu" in item.path.parts:
            item.add_marker(pytest.mark.gpu)
            if not torch.cuda.is_available():
                item.add_marker(absent)
