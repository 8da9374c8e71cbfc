"""The settings of each text source, and what can be derived from them before it is read."""
