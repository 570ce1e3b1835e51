"""Stories of loads for tests."""

from collections import Counter

from lepton_demo.reading import Autoscaler, Stage
from lepton_demo.scaling import Sample, Story


def sample(at: float, desired: int | None, queue: float | None = 0.0, **stages: int) -> Sample:
    """One moment; stages by their names: `ready=1, loading=2`."""
    scaler = None if desired is None else Autoscaler(1, 3, 4.0, desired, desired)
    return Sample(at, queue, scaler, Counter({Stage(name): n for name, n in stages.items()}))


def whole_story() -> Story:
    """From one worker to three and back, with a load from second 100 to second 140."""
    return Story(
        workers_before=1,
        load_start=100.0,
        load_end=140.0,
        samples=[
            sample(99, 1, 0, ready=1),
            sample(101, 1, 0, ready=1),
            sample(102, 1, 14, ready=1),
            sample(103, 3, 14, ready=1),
            sample(104, 3, 14, ready=1, pending=2),
            sample(110, 3, 14, ready=1, loading=2),
            sample(120, 3, 14, ready=2, loading=1),
            sample(125, 3, 14, ready=3),
            sample(150, 1, 0, ready=3),
            sample(155, 1, 0, ready=1, terminating=2),
            sample(165, 1, 0, ready=1),
        ],
    )
