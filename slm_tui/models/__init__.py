"""The model families, one readable file each, and the parts they share."""
