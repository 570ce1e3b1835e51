"""Where an adapter comes from: a folder in PEFT's format, or the hub."""

from pathlib import Path

from lepton_worker.errors import SourceNotFound
from lepton_worker.source.hub import SCHEME, fetch

CONFIG = "adapter_config.json"


def find_adapter(source: str, cache_dir: Path) -> Path:
    """The folder with the adapter's files, fetched if need be; raises LoadError."""
    folder = fetch(source, cache_dir) if source.startswith(SCHEME) else Path(source)
    if not (folder / CONFIG).is_file():
        raise SourceNotFound(
            f"{folder} has no {CONFIG}; an adapter is a folder that save_pretrained of PEFT has "
            "written"
        )
    return folder
