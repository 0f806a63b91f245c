"""Lets `python -m mainstay` behave exactly like the `mainstay` command."""

from mainstay.cli import main

if __name__ == "__main__":
    main()
