"""The training loop and its parts. Independent of the screen."""
