"""Logs, OpenTelemetry and summaries of answers. Changes no answer."""

from adafuse.telemetry.summary import Summary, summarise

__all__ = ["Summary", "summarise"]
