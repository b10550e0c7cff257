"""Members in other processes and on other machines.

`hosting` runs beside a model, `remote` is the member that the ensemble speaks to, `wire` is what
goes between them: strings and plain values. `ray` puts the one where the cluster has room and gives
the other the way there; it needs an extra, and is imported when it is asked for.
"""
