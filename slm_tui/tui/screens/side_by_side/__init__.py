"""The side_by_side screen."""
