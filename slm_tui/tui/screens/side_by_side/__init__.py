"""The side-by-side screen."""
