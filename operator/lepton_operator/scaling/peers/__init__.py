"""The documented rules of other autoscalers, to be compared on the same requests."""
