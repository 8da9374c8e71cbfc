"""How often verdicts are right and their remedies help: `python -m tests.verdicts`."""
