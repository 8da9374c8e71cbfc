"""Metrics of checkpoints on splits."""
