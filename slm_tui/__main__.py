"""`python -m slm_tui` is the command `slm-tui`."""

from slm_tui.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
