"""Charts: downsampled in the app, drawn by plotext in a helper process."""
