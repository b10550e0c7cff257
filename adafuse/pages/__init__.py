"""Pages that people look at: one HTML file each, which asks nothing of any network.

from adafuse.pages import trace_page
html = trace_page(answer)              # or answer.save_trace("answer.html")

The report of a comparison is `adafuse.compare.report`'s; its functions are found here, too.
"""

from importlib import import_module
from typing import Any

from adafuse.pages.trace import save_trace, trace_frame, trace_page

__all__ = ["save_trace", "trace_frame", "trace_page"]


def __getattr__(name: str) -> Any:
    """The report's functions by the path that they had; imported when one is asked for."""
    if name in ("report_frame", "report_page", "save_report"):
        return getattr(import_module("adafuse.compare.report"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
