"""The settings of each model family, and what can be derived from them without a network."""
