"""Measurements that take minutes: `python -m benchmarks exactness` and `python -m benchmarks cost`."""
