"""Where a model comes from: a folder, or the hub; checked before anything is loaded."""

from pathlib import Path

from lepton_worker.source.folder import check_folder
from lepton_worker.source.hub import SCHEME, fetch


def find_source(source: str, cache_dir: Path) -> Path:
    """The folder with the model's files, fetched if need be and checked; raises LoadError."""
    folder = fetch(source, cache_dir) if source.startswith(SCHEME) else Path(source)
    check_folder(folder)
    return folder
