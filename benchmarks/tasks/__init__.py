"""Whole answers on public test sets, of members and ensembles: `python -m benchmarks tasks`.

catalogue: what is asked, and how; systems: who answers; answering: so that it can be stopped;
results: who is ahead.
"""
