"""Scaling policies on recorded or made-up requests: deterministic, without clock and cluster."""
