"""What all tests share: the fixtures of the local cluster."""

pytest_plugins = ["localcluster.pytest_plugin"]
