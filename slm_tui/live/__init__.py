"""What is currently running: sessions, steering, and background threads for the screens."""
