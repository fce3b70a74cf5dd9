"""Imports run downwards between the rooms of lazify, and what can be read in one sitting stays so."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import lazify

PACKAGE = Path(lazify.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

#: Lowest first: a room imports from those before it, and from the files beside them that know no room.
ROOMS = ["_recipe", "_isolation", "_inference", "_deferred", "_first_call", "_lazy_class", "api"]
MOST_LINES_OF_A_FILE, MOST_LINES_OF_A_FUNCTION = 400, 40


def name_of(path: Path) -> str:
    """The dotted name of a file, without `lazify.`; of `lazify/__init__.py` itself, nothing."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


MODULES = {f"lazify.{name_of(path)}".rstrip(".") for path in FILES}


def room_of(name: str) -> str:
    return name.partition(".")[0]


def imported(path: Path) -> set[str]:
    """Names of lazify's own modules that a file imports, wherever in the file."""
    modules: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            inside = [f"{node.module}.{each.name}" for each in node.names]
            modules += [each if each in MODULES else str(node.module) for each in inside]
        elif isinstance(node, ast.Import):
            modules += [each.name for each in node.names]
    return {each.removeprefix("lazify").lstrip(".") for each in modules if each in MODULES}


def knows_no_room(name: str) -> bool:
    """Whether a file beside the rooms imports none of them, whatever it imports."""
    path = next(path for path in FILES if name_of(path) == name)
    return name != "" and room_of(name) not in ROOMS and all(map(knows_no_room, imported(path)))


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_those_below(room):
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    files = [path for path in FILES if room_of(name_of(path)) == room]
    assert files
    for path in files:
        wrong = [name for name in imported(path) if room_of(name) not in allowed and not knows_no_room(name)]
        assert not wrong, f"{name_of(path)} imports {wrong}"


def test_files_do_not_import_each_other_in_circles():
    for entry in TopologicalSorter({name_of(path): imported(path) - {name_of(path)} for path in FILES}).static_order():
        assert entry is not None


def test_nn_and_layers_import_only_the_public_interface():
    assert imported(PACKAGE / "nn.py") == {""}
    for path in (PACKAGE / "layers").glob("*.py"):
        assert {room_of(name) for name in imported(path)} <= {"", "errors", "layers"}


def test_no_deferred_imports():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                inside = [n for n in ast.walk(node) if isinstance(n, (ast.Import, ast.ImportFrom))]
                own = [n for n in inside if "lazify" in ast.unparse(n)]
                assert not own, f"{path.name}: {ast.unparse(own[0])}"


def test_signatures_and_errors_know_no_torch():
    for name in ("errors.py", "_recipe/signature_reading.py", "_recipe/rules.py"):
        assert not re.search(r"^(import|from) torch", (PACKAGE / name).read_text(), re.M)


def test_private_names_of_torch_stay_in_one_file():
    """`torch._x`, `nn.modules._x` and the like; `nn.Module`'s own underscore methods are its protocol."""
    pattern = re.compile(r"\btorch\._\w+|\bfrom torch[\w.]* import _\w+|\bfrom torch\._\w+")
    for path in FILES:
        if path.name != "_torch.py":
            assert not pattern.findall(path.read_text()), path.name


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_are_short(path):
    text = path.read_text()
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    long = [n.name for n in functions if n.end_lineno - n.lineno >= MOST_LINES_OF_A_FUNCTION]
    long += ["the file"] * (text.count("\n") > MOST_LINES_OF_A_FILE)
    assert not long


def test_every_package_says_its_idea():
    for path in PACKAGE.rglob("__init__.py"):
        doc = ast.get_docstring(ast.parse(path.read_text()))
        assert doc, name_of(path)
        assert len(doc.partition("\n\n>>>")[0].splitlines()) <= 5, name_of(path)
