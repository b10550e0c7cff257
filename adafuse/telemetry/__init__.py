"""What is told of answers: logs, OpenTelemetry, and summaries of rounds. Changes no answer."""
