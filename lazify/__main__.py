"""The command line: `python -m lazify demo`, `show torch.nn:Conv2d`, `stub package.module`."""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import nn

from lazify import demo
from lazify._lazy_class.constructor import RECIPE
from lazify.api import lazify
from lazify.errors import LazifyError
from lazify.explain import explain
from lazify.materialize import materialize
from lazify.typing_support.stubs import write

__all__ = ["main"]


class _WrongArguments(Exception):
    """The command line is wrong; its message says how. The exit code is 2."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Raises:
        SystemExit: with code 2 if the arguments are wrong.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command == "demo":
        return demo.run()
    try:
        {"show": _show, "stub": _stub}[options.command](options, sys.stdout)
    except _WrongArguments as error:
        parser.exit(2, f"{parser.prog} {options.command}: error: {error}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lazify", description="Lazily constructed PyTorch modules.")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    commands.add_parser(
        "demo",
        help="lazify an ordinary network, train it on handwritten digits, compare it with the eager one",
        description="Lazify an ordinary network, train it on handwritten digits, compare it with the eager one.",
    )
    show = commands.add_parser(
        "show",
        help="what lazify makes of a class",
        description="Show the original and the lazified constructor of a class and, given an input, what it becomes.",
    )
    show.add_argument("target", metavar="module:Class", help="as in torch.nn:Conv2d")
    show.add_argument("--exclude", metavar="a,b", help="constructor parameters to infer (default: lazify decides)")
    show.add_argument("--input", metavar="2x3x32x32", action="append", help="shape of an argument of forward")
    show.add_argument("--arg", metavar="k=v", action="append", default=[], help="constructor argument")
    stub = commands.add_parser(
        "stub",
        help="write type stubs with the lazified constructors of a module",
        description="Write the .pyi files of a module or package, with the exact lazified constructors.",
    )
    stub.add_argument("module", metavar="MODULE", help="as in package.module; it is imported")
    stub.add_argument("-o", dest="directory", metavar="DIR", type=Path, help="where to (default: beside the sources)")
    return parser


def _stub(options: argparse.Namespace, out: TextIO) -> None:
    with _importing(options.module):
        try:
            written = write(options.module, options.directory)
        except LazifyError as error:
            raise _WrongArguments(str(error)) from error
    print(*written, sep="\n", file=out)


def _show(options: argparse.Namespace, out: TextIO) -> None:
    try:
        lazy = _lazy_class(options.target, options.exclude)
        print(_emphasized(str(explain(lazy)), out), file=out)
        if options.input:
            shapes, arguments = [_shape(text) for text in options.input], dict(map(_argument, options.arg))
            module = materialize(lazy(**arguments), *shapes)
            print(f"\n{_emphasized(str(explain(module)), out)}\n\n{module}", file=out)
    except LazifyError as error:
        raise _WrongArguments(str(error)) from error
    except (TypeError, ValueError, RuntimeError, IndexError) as error:  # raised by the user's class
        raise _WrongArguments(f"{options.target}: {type(error).__name__}: {error}") from error


def _lazy_class(target: str, exclude: str | None) -> Any:
    """The class `module:Class`, lazified unless the class is lazy already."""
    module_name, colon, name = target.partition(":")
    if not colon or not name:
        raise _WrongArguments(f"{target!r} is not of the form module:Class, as in torch.nn:Conv2d")
    with _importing(module_name):
        found: Any = importlib.import_module(module_name)
    for part in name.split("."):
        if not hasattr(found, part):
            raise _WrongArguments(f"{module_name!r} has no {name!r}")
        found = getattr(found, part)
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        raise _WrongArguments(f"{target!r} is not an nn.Module class")
    if hasattr(found, RECIPE):
        return found
    return lazify(found, exclude=None if exclude is None else [name for name in exclude.split(",") if name])


@contextmanager
def _importing(module_name: str) -> Iterator[None]:
    """Look for modules in the working directory first, and report a failed import as a wrong argument."""
    sys.path.insert(0, os.getcwd())
    try:
        yield
    except ImportError as error:
        raise _WrongArguments(f"cannot import {module_name!r}: {error}") from error
    finally:
        sys.path.pop(0)


def _argument(text: str) -> tuple[str, Any]:
    """Name and value of `name=value`; a value that is no Python literal is a string."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise _WrongArguments(f"--arg takes name=value, got {text!r}")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


def _shape(text: str) -> torch.Size:
    """The shape written as `2x3x32x32`."""
    try:
        return torch.Size(int(size) for size in text.split("x"))
    except ValueError:
        raise _WrongArguments(f"--input takes sizes as in 2x3x32x32, got {text!r}") from None


def _emphasized(text: str, out: TextIO) -> str:
    """The text with ANSI codes that make its unindented lines bold, if `out` is a terminal."""
    if not out.isatty() or "NO_COLOR" in os.environ:
        return text
    lines = (line if line.startswith((" ", ")")) else f"\033[1m{line}\033[0m" for line in text.splitlines())
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
