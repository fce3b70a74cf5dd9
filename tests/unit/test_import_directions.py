"""Which file of lazify may import which."""

import ast
import re
from pathlib import Path

import pytest

import lazify

PACKAGE = Path(lazify.__file__).parent

#: Lowest first: a file imports only files that stand before it.
IMPORT_ORDER = [
    "errors",
    "torch_private",
    "signatures",
    "rules",
    "known",
    "conventions",
    "recipe",
    "tables",
    "trees",
    "probing",
    "solving",
    "inference",
    "construction",
    "journal",
    "placeholders",
    "skeleton",
    "checkpoints",
    "pending",
    "memory",
    "restoring",
    "settling",
    "building",
    "materialization",
    "dry_run",
    "lazyclass",
    "explaining",
    "static_types",
    "api",
    "__init__",
    "nn",
    "mypy",
    "stubs",
    "demo",
    "__main__",
]


def imported(path: Path) -> set[str]:
    """Names of lazify's own modules that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "lazify":
            found |= {node.module.split(".")[1]} if "." in node.module else {"__init__"}
        elif isinstance(node, ast.Import):
            found |= {a.name.partition(".")[2] or "__init__" for a in node.names if a.name.split(".")[0] == "lazify"}
    return found


@pytest.mark.parametrize("name", sorted(p.stem for p in PACKAGE.glob("*.py")))
def test_imports_go_down(name):
    assert name in IMPORT_ORDER, f"give {name}.py its place in IMPORT_ORDER"
    below = set(IMPORT_ORDER[: IMPORT_ORDER.index(name)])
    assert imported(PACKAGE / f"{name}.py") <= below


def test_nn_and_layers_import_only_the_public_interface():
    assert imported(PACKAGE / "nn.py") == {"__init__"}
    for path in (PACKAGE / "layers").glob("*.py"):
        assert imported(path) <= {"__init__", "errors", "layers"}


def test_no_deferred_imports():
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                inside = [n for n in ast.walk(node) if isinstance(n, (ast.Import, ast.ImportFrom))]
                own = [n for n in inside if "lazify" in ast.unparse(n)]
                assert not own, f"{path.name}: {ast.unparse(own[0])}"


def test_the_lowest_files_do_not_import_torch():
    for name in ("errors", "signatures", "rules"):
        assert not re.search(r"^(import|from) torch", (PACKAGE / f"{name}.py").read_text(), re.M)
