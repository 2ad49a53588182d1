"""The one place that prints: commands for people at a terminal and for scripts."""

import sys


def main() -> None:
    """The ``isthmus`` command; exits with the codes of `isthmus.cli.exits`."""
    from isthmus.cli.commands import app
    from isthmus.cli.exits import carry_out

    sys.exit(carry_out(app, sys.argv[1:]))


__all__ = ["main"]
