"""What is told of answers: logs, OpenTelemetry, and summaries of rounds. Changes no answer."""

from adafuse.telemetry.summary import Summary, summarise

__all__ = ["Summary", "summarise"]
