"""The commands: ask, compare, serve. `python -m adafuse`."""
