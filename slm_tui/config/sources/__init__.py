"""The settings of each source of text, and what follows from them before it is read."""
