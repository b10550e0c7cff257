"""An ensemble behind OpenAI's HTTP interface: `python -m adafuse serve`; see docs/serve.md.

    auth, request_models, request   from a request to what the ensemble is asked
    service                         answers being decoded in threads, as many as may
    response                        from rounds to choices, whole or in pieces
    handlers, app                   one request to its response; which path does what
    server                          the process: signals, loading, its end

Needs the `serve` extra.
"""
