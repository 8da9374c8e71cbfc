"""Charts: thinned on the app's side, drawn by plotext in a helper process."""
