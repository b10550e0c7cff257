"""`python -m adafuse`: see `adafuse.cli`."""

from adafuse.cli import main

if __name__ == "__main__":
    main()
