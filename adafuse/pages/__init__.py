"""Pages that people look at: one HTML file each, which asks nothing of any network.

from adafuse.pages import report_page, trace_page
html = trace_page(answer)              # or answer.save_trace("answer.html")
html = report_page(comparison)         # or comparison.save_report("report.html")
"""

from adafuse.compare.report import report_frame, report_page, save_report
from adafuse.pages.trace import save_trace, trace_frame, trace_page

__all__ = [
    "report_frame",
    "report_page",
    "save_report",
    "save_trace",
    "trace_frame",
    "trace_page",
]
