"""The Experiments screen: suites, their runs, the queue, and comparisons."""
