"""`lazify.nn` has the names of the installed `torch.nn`, and is written so that tools find them."""

from __future__ import annotations

import ast
import doctest
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn

from helpers.torch_nn import EAGER, LAZIES, TORCHS, lazify_of, public
from lazify import nn

pytestmark = [
    pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning"),  # torch's own, before 2.7
    pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning"),
]


# ---------------------------------------------------------------------------------------------
# The names


def test_every_name_of_torch_is_here() -> None:
    """The very objects; but torch's lazy classes are lazify's."""
    expected_ = {name: lazify_of(name) if name in TORCHS else value for name, value in public(torch.nn).items()}
    assert [name for name, value in expected_.items() if getattr(nn, name, None) is not value] == []


def test_nothing_but_torchs_names_and_the_lazy_classes_is_here() -> None:
    assert set(public(nn)) - set(public(torch.nn)) - set(LAZIES) == {"lazify"}


@pytest.mark.parametrize("name", LAZIES)
def test_every_lazy_class_is_what_lazify_makes_and_calls_itself_by_its_place(name: str) -> None:
    lazy = LAZIES[name]
    assert lazy is lazify_of(name)
    assert lazy.cls_to_become is EAGER[name.removeprefix("Lazy")]
    assert (lazy.__module__, lazy.__qualname__, lazy.__name__) == ("lazify.nn", name, name)
    assert not any(cls in TORCHS.values() for cls in lazy.__mro__)


def test_importing_torchs_module_by_another_way_gives_torchs() -> None:
    from lazify.nn import functional, init, utils

    assert (functional, init, utils) == (torch.nn.functional, torch.nn.init, torch.nn.utils)


def test_a_star_import_brings_them_all() -> None:
    there: dict[str, Any] = {}
    exec("from torch.nn import *\nfrom lazify.nn import *", there)
    assert all(there[name] is cls for name, cls in {**EAGER, **LAZIES}.items())


def test_every_lazy_class_of_torch_is_here() -> None:
    assert len(TORCHS) >= 13
    assert set(TORCHS) <= set(LAZIES)


# ---------------------------------------------------------------------------------------------
# How the module is written: names that an editor, a type checker and a reader find

TREE = ast.parse(Path(str(nn.__file__)).read_text())
STATEMENTS = [each for node in TREE.body for each in (node.body if isinstance(node, ast.Try) else [node])]


def test_every_lazy_class_is_written_out_as_one_line() -> None:
    written = []
    for node in STATEMENTS:
        if isinstance(node, ast.Assign):
            (target,) = node.targets
            assert isinstance(target, ast.Name)
            assert ast.unparse(node) == f"{target.id} = lazify({target.id.removeprefix('Lazy')})"
            written.append(target.id)
    assert len(written) == len(set(written))
    assert set(LAZIES) <= set(written)
    assert set(written) - set(LAZIES) <= {"LazyLinearCrossEntropyLoss"}  # of what older versions of torch lack


def test_the_module_is_a_docstring_imports_and_these_lines() -> None:
    """What older versions of torch lack is tried: nothing else is in such a block, and its absence is no error."""
    for node in TREE.body:
        if isinstance(node, ast.Try):
            assert [ast.unparse(each) for each in node.handlers] == ["except ImportError:\n    pass"]
            assert not node.orelse + node.finalbody
    docstring, *rest = STATEMENTS
    assert isinstance(docstring, ast.Expr)
    assert all(isinstance(node, (ast.ImportFrom, ast.Assign)) for node in rest)
    sources = {node.module for node in rest if isinstance(node, ast.ImportFrom)}
    assert {each for each in sources if each is None or not each.startswith("torch.nn")} == {"lazify"}
    names = {node.id for node in ast.walk(TREE) if isinstance(node, ast.Name)}
    assert not names & {"globals", "locals", "vars", "setattr", "exec", "eval", "__getattr__", "__import__"}
    assert "__getattr__" not in vars(nn)


def test_reexports_are_explicit_for_type_checkers() -> None:
    """`X as X` or `*`: else a strict checker takes the name for a private one of the module."""
    for node in STATEMENTS:
        if isinstance(node, ast.ImportFrom) and node.module != "lazify":
            assert all(each.name == "*" or each.asname == each.name for each in node.names), ast.unparse(node)


def test_the_example_in_the_docstring_of_the_module():
    test = doctest.DocTestParser().get_doctest(nn.__doc__, {}, "lazify.nn", None, 0)
    assert doctest.DocTestRunner().run(test).failed == 0
