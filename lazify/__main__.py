"""The command line: `python -m lazify demo`, `show torch.nn.Conv2d`, `suggest module:Class`, `stub package.module`."""

from __future__ import annotations

import argparse
import ast
import functools
import importlib
import os
import platform
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, TextIO

import torch
from torch import nn

from lazify import __version__, demo
from lazify._lazy_class.constructor import RECIPE
from lazify.api import lazify
from lazify.errors import DefinitionError, LazifyError, compose, did_you_mean, split_fix
from lazify.explain import explain, suggest
from lazify.materialize import materialize
from lazify.typing_support.stubs import write

__all__ = ["main"]

INPUT = "shape of an argument of forward, once for each argument in their order"


class _WrongArguments(Exception):
    """The command line is wrong; its message says how. The exit code is 2."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Raises:
        SystemExit: with code 2 if the arguments are wrong.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.exit(2, f"{parser.format_help()}\n{parser.prog}: error: give one of the commands above\n")
    if options.command == "demo":
        return demo.run()
    try:
        text = {"show": _show, "stub": _stub, "suggest": _suggest}[options.command](options, sys.stdout)
    except _WrongArguments as error:
        parser.exit(2, f"{parser.prog} {options.command}: error: {error}\n")
    print(text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lazify", description="Lazily constructed PyTorch modules.")
    versions = f"lazify {__version__} (torch {torch.version.__version__}, Python {platform.python_version()})"
    parser.add_argument("--version", action="version", version=versions)
    commands = parser.add_subparsers(dest="command", metavar="command", title="commands")
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
    show.add_argument("target", metavar="module:Class", help="as in torch.nn:Conv2d, or torch.nn.Conv2d")
    show.add_argument("--exclude", metavar="a,b", help="constructor parameters to infer (default: lazify decides)")
    show.add_argument("--input", metavar="2x3x32x32", action="append", help=INPUT)
    show.add_argument("--arg", metavar="k=v", action="append", default=[], help="constructor argument")
    suggested = commands.add_parser(
        "suggest",
        help="the line that lazifies a class, from one call",
        description="Which constructor parameters one call determines, and the line of code that says so.",
    )
    suggested.add_argument("target", metavar="module:Class", help="as in torch.nn:Conv2d, or torch.nn.Conv2d")
    suggested.add_argument("--input", metavar="2x3x32x32", action="append", required=True, help=INPUT)
    suggested.add_argument("--arg", metavar="k=v", action="append", default=[], help="constructor argument")
    stub = commands.add_parser(
        "stub",
        help="write type stubs with the lazified constructors of a module",
        description="Write the .pyi files of a module or package, with the exact lazified constructors.",
    )
    stub.add_argument("module", metavar="MODULE", help="as in package.module; it is imported")
    stub.add_argument("-o", dest="directory", metavar="DIR", type=Path, help="where to (default: beside the sources)")
    return parser


# ---------------------------------------------------------------------------------------------
# The commands: each returns what to print


def _stub(options: argparse.Namespace, out: TextIO) -> str:
    with _importing(options.module):
        importlib.import_module(options.module)
        try:
            return "\n".join(map(str, write(options.module, options.directory)))
        except LazifyError as error:
            raise _WrongArguments(split_fix(str(error))[0]) from error
        except OSError as error:
            raise _WrongArguments(f"cannot write {error.filename}: {error.strerror}") from error


def _show(options: argparse.Namespace, out: TextIO) -> str:
    shapes = [_shape(text) for text in options.input or ()]
    arguments = _arguments(options.arg)
    found = _found(options.target)
    with _reported(options.target):
        lazy = _lazy_class(options.target, found, options.exclude)
        texts = [_emphasized(str(explain(lazy)), out)]
        if shapes or arguments:
            module = lazy(**arguments)
            if shapes:
                materialize(module, *shapes)
                texts.append(_emphasized(str(explain(module)), out))
            texts.append(str(module))
    return "\n\n".join(texts)


def _suggest(options: argparse.Namespace, out: TextIO) -> str:
    shapes = [_shape(text) for text in options.input]
    arguments = _arguments(options.arg)
    found = _found(options.target)
    _check_class(options.target, found)
    with _reported(options.target):
        suggestion = suggest(functools.partial(found, **arguments), *shapes)
    return f"{suggestion}\n".replace(f"\n{suggestion.code}\n", f"\n{_imports(found, suggestion.code)}{suggestion.code}")


def _imports(cls: type, code: str) -> str:
    """The lines that make the code run in a new file."""
    names = "axis, lazify" if "axis(" in code else "lazify"
    return f"from {cls.__module__} import {cls.__name__}\n\nfrom lazify import {names}\n\n" if "lazify(" in code else ""


@contextmanager
def _reported(target: str) -> Iterator[None]:
    """Report what lazify, or the class itself, has against the arguments as wrong arguments."""
    try:
        yield
    except LazifyError as error:
        raise _WrongArguments(_advised(error)) from error
    except _WrongArguments:
        raise
    except Exception as error:  # raised by the user's class
        raise _WrongArguments(f"{target}: {_one_line(error)}{_missing(error)}") from error


def _missing(error: Exception) -> str:
    """What to type where an argument is missing."""
    if not isinstance(error, TypeError) or "missing" not in str(error):
        return ""
    if "forward()" in str(error):
        return " (repeat --input, once for each argument)"
    return " (give it with --arg name=value)"


def _advised(error: LazifyError) -> str:
    """The message of an error, with what to type on this command line in place of the code that fixes it."""
    said, fix = split_fix(str(error))
    if isinstance(error, DefinitionError):
        return compose(said, fix="--exclude a,b  # some of the constructor's parameters" if "exclude" in fix else "")
    if not fix:
        return said
    return compose(said, fix="--arg name=value  # for a parameter that the input does not determine")


# ---------------------------------------------------------------------------------------------
# Finding the class


def _lazy_class(target: str, found: Any, exclude: str | None) -> Any:
    """The class that was found, lazified unless it is lazy already."""
    _check_class(target, found)
    if not hasattr(found, RECIPE):
        return lazify(found, exclude=None if exclude is None else [name for name in exclude.split(",") if name])
    if exclude is not None:
        dropped = ", ".join(getattr(found, RECIPE).rules)
        raise _WrongArguments(f"--exclude does not apply: {target} is lazily constructed already, without {dropped}")
    return found


def _check_class(target: str, found: Any) -> None:
    """Raise unless what was found is a module class."""
    if isinstance(found, ModuleType):
        raise _WrongArguments(f"{target!r} is a module: name a class in it, as in torch.nn:Conv2d")
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        raise _WrongArguments(f"{target!r} is not an nn.Module class")


def _found(target: str) -> Any:
    """What `module:Class` or `module.Class` refers to."""
    module_name, colon, name = target.partition(":")
    with _importing(module_name, colon + name):
        if colon:
            return _attribute(importlib.import_module(module_name), module_name, name)
        first, *rest = module_name.split(".")
        found: Any = importlib.import_module(first)
        for number, part in enumerate(rest):
            if isinstance(found, ModuleType) and not hasattr(found, part):
                _try_import(".".join([first, *rest[: number + 1]]))
            found = _attribute(found, ".".join([first, *rest[:number]]), part)
        return found


def _try_import(name: str) -> None:
    """Import a module if there is one of this name."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise


def _attribute(found: Any, owner: str, name: str) -> Any:
    for part in name.split("."):
        if not hasattr(found, part):
            raise _WrongArguments(f"{owner!r} has no {name!r}{did_you_mean(part, dir(found))}")
        found = getattr(found, part)
    return found


@contextmanager
def _importing(module_name: str, class_name: str = "") -> Iterator[None]:
    """Look for modules in the working directory first, and report a failed import as a wrong argument."""
    if os.sep in module_name or module_name.endswith(".py"):
        dotted = ".".join(Path(module_name).with_suffix("").parts) + class_name
        raise _WrongArguments(f"{module_name!r} is a path: give the name by which it is imported, as in {dotted}")
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise _WrongArguments(f"{module_name!r} is not the name of a module")
    sys.path.insert(0, os.getcwd())
    try:
        yield
    except _WrongArguments:
        raise
    except (Exception, SystemExit) as error:  # whatever the code of the module raises
        _report_failed_import(module_name, error)
    finally:
        sys.path.pop(0)


def _report_failed_import(module_name: str, error: BaseException) -> NoReturn:
    """Raise the error that names the line at which the import failed: the innermost that was executed of a module."""
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == "<module>"]
    place = f"{lines[-1].filename}:{lines[-1].lineno}: " if lines else ""
    if isinstance(error, SyntaxError):
        place = f"{error.filename}:{error.lineno}: "
    said = error.msg if isinstance(error, (SyntaxError, ImportError)) else _one_line(error)
    last = module_name.rpartition(".")[2]
    is_of_torch = module_name in (last, f"nn.{last}") and hasattr(nn, last)
    hint = f"; did you mean torch.nn.{last}?" if is_of_torch else ""
    raise _WrongArguments(f"cannot import {module_name!r}: {place}{said}{hint}") from error


def _one_line(error: BaseException) -> str:
    """The type of an error and the first line of its message."""
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


# ---------------------------------------------------------------------------------------------
# Reading arguments


def _arguments(texts: Sequence[str]) -> dict[str, Any]:
    """The constructor arguments written as `name=value`; a value that is no Python literal is a string."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise _WrongArguments(f"--arg takes name=value, got {text!r}")
        if name in found:
            raise _WrongArguments(f"--arg {name}=... is there twice")
        try:
            found[name] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            found[name] = value
    return found


def _shape(text: str) -> torch.Size:
    """The shape written as `2x3x32x32`."""
    sizes = text.split("x")
    if not all(size.isascii() and size.isdigit() for size in sizes):
        raise _WrongArguments(f"--input takes sizes as in 2x3x32x32, got {text!r}")
    return torch.Size(map(int, sizes))


def _emphasized(text: str, out: TextIO) -> str:
    """The text with ANSI codes that make its unindented lines bold, if `out` is a terminal."""
    if not out.isatty() or "NO_COLOR" in os.environ:
        return text
    lines = (line if line.startswith((" ", ")")) else f"\033[1m{line}\033[0m" for line in text.splitlines())
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
