"""The harness's command with our model: `python -m adafuse_integrations.lm_eval --model_args …`.

All options are the harness's; `--model` is ours unless it is given.
"""

from __future__ import annotations

import sys

from lm_eval.__main__ import cli_evaluate

from adafuse.errors import AdaFuseError, ConfigError

__all__ = ["main"]

_OTHER_COMMANDS = ("ls", "validate", "-h", "--help")


def main() -> None:
    """Run the harness; an error of ours is one line and an exit code: 2 for settings, else 1."""
    words = sys.argv[1:]
    names_model = any(word in ("-M", "--model") or word.startswith("--model=") for word in words)
    if words and words[0] not in _OTHER_COMMANDS and not names_model:
        sys.argv += ["--model", "adafuse"]
    try:
        cli_evaluate()
    except AdaFuseError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, ConfigError) else 1) from None


if __name__ == "__main__":
    main()
