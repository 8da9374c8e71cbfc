"""Measurements: `python -m tests.benchmarks`. None of it is collected by pytest."""
