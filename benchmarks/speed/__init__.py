"""How fast an ensemble answers, beside its own members: `python -m benchmarks speed --help`."""
