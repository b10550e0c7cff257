"""Members in other processes and on other machines.

`host` runs beside a model, `member` is the member that the ensemble speaks to, `session` one of its
answers, `transport` the way from these to a host, and `wire` what goes between them: strings and
plain values. `ray` puts hosts where the cluster has room and is the transport to them; it needs an
extra, and is imported when it is asked for.
"""
