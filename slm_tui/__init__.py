"""Train, watch, understand and talk to small language models in the terminal."""

__version__ = "0.1.0"
