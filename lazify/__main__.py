"""The command line: `python -m lazify demo`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lazify import demo

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code; wrong arguments exit with code 2 (`SystemExit`)."""
    parser = argparse.ArgumentParser(prog="python -m lazify", description="Lazily constructed PyTorch modules.")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    commands.add_parser(
        "demo",
        help="lazify an ordinary network, train it on handwritten digits, compare it with the eager one",
        description="Lazify an ordinary network, train it on handwritten digits, compare it with the eager one.",
    )
    parser.parse_args(arguments)
    return demo.run()


if __name__ == "__main__":
    sys.exit(main())
