"""Experiments: suites, the queue that runs them, and the comparison of their runs."""
