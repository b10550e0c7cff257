"""The commands: ask, compare, fit, serve. `python -m adafuse`."""
