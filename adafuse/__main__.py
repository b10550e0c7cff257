"""`python -m adafuse`: see `adafuse.cli.ask`."""

from adafuse.cli.ask import main

if __name__ == "__main__":
    main()
