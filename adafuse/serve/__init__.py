"""An ensemble behind OpenAI's HTTP interface: `python -m adafuse serve`; see docs/serve.md.

    access, asking, messages   from a request to what the ensemble is asked
    desk                       answers being decoded in threads, as many as may
    replies                    from rounds to choices, whole or in pieces
    app                        which path does what
    server, command            the process: signals, loading, the command line

Needs the `serve` extra.
"""
