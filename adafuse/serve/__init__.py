"""An ensemble behind OpenAI's HTTP interface: `python -m adafuse serve`; see docs/serve.md.

    auth, request, messages    from a request to what the ensemble is asked
    service                    answers being decoded in threads, as many as may
    handlers, response         from rounds to choices, whole or in pieces
    app                        which path does what
    server                     the process: signals and loading

Needs the `serve` extra.
"""
