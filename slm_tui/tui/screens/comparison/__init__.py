"""The comparison of runs: curves, ranking, settings."""
