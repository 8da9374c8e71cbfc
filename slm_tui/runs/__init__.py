"""Run directories, their logs, and all operations on runs."""
