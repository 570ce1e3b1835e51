"""Small models with random weights, in the format of `save_pretrained`, the same for each seed."""

import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from lepton_worker.errors import InvalidSetting

SEED = 20


def sample_names() -> tuple[str, ...]:
    """All samples there are."""
    from lepton_worker.samples.catalog import SAMPLES

    return tuple(SAMPLES)


def write_samples(
    folder: Path, only: Sequence[str] | None = None, seed: int = SEED
) -> Iterator[Path]:
    """Write each sample into a folder of its name; yields the folders. Raises InvalidSetting."""
    names = sample_names()
    unknown = sorted(set(only or []) - set(names))
    if unknown:
        raise InvalidSetting(f"no sample is named {unknown[0]}; there are {', '.join(names)}")
    for name in only or names:
        yield write_sample(folder / name, name, seed)


def write_sample(folder: Path, name: str, seed: int = SEED) -> Path:
    """Write one sample into `folder`."""
    import torch
    import transformers

    from lepton_worker.samples.catalog import SAMPLES

    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    sample = SAMPLES[name]
    tokenizer = sample.vocabulary()
    ids = {
        f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id")
        for kind in ("bos", "eos", "pad")
        if getattr(tokenizer, f"{kind}_token_id") is not None
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + zlib.crc32(name.encode()))
        model = sample.build(ids, len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for path, content in sample.files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=2))
    return folder
