"""Sampling and the streaming engine."""
