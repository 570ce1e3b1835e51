"""What is tried on a desk, without a cluster; so far the simulation of scaling policies."""
