"""The trash screen."""
