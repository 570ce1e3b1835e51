"""What was measured: suites that run against real clusters, and the files and page they fill."""
