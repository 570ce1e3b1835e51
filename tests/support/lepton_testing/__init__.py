"""What several test levels share: an installation on a cluster, models to serve, calls to them."""
