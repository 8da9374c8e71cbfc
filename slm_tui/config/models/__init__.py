"""The settings of each model family, and what follows from them without building a network."""
