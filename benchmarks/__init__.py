"""Measurements that take minutes; see `python -m benchmarks --help`."""
