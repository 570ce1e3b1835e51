"""Each task's own part: what comes before and after the model."""
