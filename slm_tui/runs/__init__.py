"""Run directories, their logs, and everything that can be done to a run."""
