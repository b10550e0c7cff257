"""Pages that people look at: one HTML file each, which asks nothing of any network.

from adafuse.pages import report_page, trace_page
html = trace_page(answer)              # or answer.save_trace("answer.html")
html = report_page(comparison)         # or comparison.save_report("report.html")
"""

from typing import TYPE_CHECKING, Any

from adafuse.pages.trace import save_trace, trace_frame, trace_page

if TYPE_CHECKING:
    from adafuse.compare.report import report_frame, report_page, save_report

__all__ = [
    "report_frame",
    "report_page",
    "save_report",
    "save_trace",
    "trace_frame",
    "trace_page",
]


def __getattr__(name: str) -> Any:
    """The report's functions on first use: traces need nothing of what comparing does."""
    if name in ("report_frame", "report_page", "save_report"):
        from adafuse.compare import report

        return getattr(report, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
