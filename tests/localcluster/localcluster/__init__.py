"""A real Kubernetes on this machine, for tests: built, started and removed by this package."""
