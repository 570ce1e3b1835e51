"""`make test-gpu`: the tests of this folder, with pytest if it is there and by hand if not.

Needs torch with CUDA and transformers; no network, no environment of the project's own.
"""

import importlib.util
import os
import sys
import time
import traceback
from pathlib import Path

import torch
import transformers

HERE = Path(__file__).parent


def by_hand() -> int:
    """Call every test; the number of those that failed."""
    failed = 0
    for path in sorted(HERE.glob("test_*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name in [name for name in vars(module) if name.startswith("test_")]:
            begun = time.monotonic()
            try:
                getattr(module, name)()
                said = "passed"
            except Exception:
                traceback.print_exc()
                failed, said = failed + 1, "FAILED"
            print(f"{said} {path.stem}.{name} ({time.monotonic() - begun:.1f} s)", flush=True)
    return failed


def main() -> int:
    """Say where this runs, then run."""
    print(f"torch {torch.__version__}, transformers {transformers.__version__}", flush=True)
    if torch.cuda.is_available():
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        print(f"{torch.cuda.get_device_name(0)}, cuDNN {cudnn}")
    if importlib.util.find_spec("pytest") is None:
        if not torch.cuda.is_available():
            print("no CUDA device is seen here: nothing was shown")
            return 0
        return by_hand()
    import pytest

    # The project's own settings ask for plugins that may not be there.
    settings = ["-c", os.devnull, "--rootdir", str(HERE), "--confcutdir", str(HERE)]
    ignored = ["-p", "no:cacheprovider", "-W", "ignore::pytest.PytestUnknownMarkWarning"]
    return int(pytest.main([str(HERE), "-rs", "-v", *settings, *ignored, *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())
