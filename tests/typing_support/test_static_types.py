"""What type checkers say of `lazify`: examples that must pass, and lines in them that must fail, run through both.

The examples are in `tests/static`. A line that must fail has an ignore, and an ignore that is not needed is an error.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers import type_table
from helpers.type_checkers import EXAMPLES_DIRECTORY, ROOT, mypy, pyright, said
from lazify.__main__ import main

EXAMPLES = ["function_form.py", "decorator_form.py", "shipped.py"]


# ---------------------------------------------------------------------------------------------
# As it is


def test_mypy_without_a_plugin() -> None:
    assert mypy(*(EXAMPLES_DIRECTORY / name for name in EXAMPLES)) == ""


def test_pyright(tmp_path: Path) -> None:
    assert pyright(tmp_path, *(EXAMPLES_DIRECTORY / name for name in EXAMPLES)) == ""


def test_the_checks_can_fail(tmp_path: Path) -> None:
    """Both report a wrong call, and an ignore that nothing needs."""
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from torch import nn\nfrom lazify import lazify\nlazify(nn.Linear)()\nlazify(nn.Linear)(3)  # type: ignore\n"
    )
    for text, unneeded in ((mypy(wrong), "unused-ignore"), (pyright(tmp_path, wrong), "Unnecessary")):
        assert "wrong.py:3" in text
        assert unneeded in text


# ---------------------------------------------------------------------------------------------
# The plugin


def test_mypy_with_the_plugin() -> None:
    """In both forms; once more from mypy's cache; and what passes without the plugin passes with it."""
    files = [
        EXAMPLES_DIRECTORY / "with_plugin.py",
        EXAMPLES_DIRECTORY / "decorator_form.py",
        EXAMPLES_DIRECTORY / "shipped.py",
    ]
    assert mypy(*files, plugin=True) == ""
    assert mypy(*files, plugin=True) == ""


def test_decorated_classes_of_another_module_from_the_cache(tmp_path: Path) -> None:
    """What the plugin noted of a class is kept with it."""
    user = tmp_path / "user.py"
    for number in (1, 2):
        user.write_text(f"from with_plugin import Decorated, Inheriting\nDecorated(4, {number}.0)\nInheriting()\n")
        text = mypy(user, plugin=True)
        assert "user.py:2" not in text
        assert 'user.py:3: error: Missing positional argument "heads"' in text


def test_what_the_cache_has_lost_is_not_guessed(tmp_path: Path) -> None:
    """The cache holds no defaults: a class with a rule as a default goes unchecked, and gives no false error."""
    user = tmp_path / "user_of_marked.py"
    for number in (1, 2):
        user.write_text(
            "from decorator_form import Late\nfrom lazify import lazify\n"
            f"lazify(Late)({number}, 2.0)\nlazify(Late, exclude='zork')()\n"
        )
        text = mypy(user, plugin=True)
        assert "user_of_marked.py:3" not in text
        assert "user_of_marked.py:4: error: Missing positional argument" in text


def test_unknown_names_are_reported_at_their_line(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from torch import nn\nfrom lazify import lazify\n\n"
        'L = lazify(\n    nn.Linear,\n    exclude=["in_feature"],\n)\n\n\n'
        '@lazify(exclude="dims")\nclass Block(nn.Module):\n    def __init__(self, dim: int) -> None: ...\n'
    )
    text = mypy(wrong, plugin=True)
    assert "wrong.py:6: error: \"Linear\" has no constructor parameter 'in_feature'; it has in_features, " in text
    assert "wrong.py:10: error: \"Block\" has no constructor parameter 'dims'; it has dim" in text
    assert "Found 2 errors" in text


# ---------------------------------------------------------------------------------------------
# Stubs


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("stubs")
    assert said(["lazify", "stub", "network", "-o", str(directory)], PYTHONPATH=str(EXAMPLES_DIRECTORY)) == ""
    return directory


def test_stubs_of_a_package(stubs: Path) -> None:
    found = sorted(str(path.relative_to(stubs)) for path in stubs.rglob("*.pyi"))
    assert found == ["network/__init__.pyi", "network/blocks.pyi"]
    text = (stubs / "network/blocks.pyi").read_text()
    assert "def __init__(self, out_channels: int, stride: int=1, *, act: Callable[[], nn.Module] | None=None" in text
    assert "def __call__(cls, kernel_size: int | tuple[int, int], " in text
    assert "@lazify" not in text


def test_stubs_pass_mypy(stubs: Path) -> None:
    assert mypy(EXAMPLES_DIRECTORY / "uses_network.py", *sorted(stubs.rglob("*.pyi")), stubs=stubs) == ""


def test_stubs_pass_pyright(stubs: Path, tmp_path: Path) -> None:
    assert pyright(tmp_path, EXAMPLES_DIRECTORY / "uses_network.py", *stubs.rglob("*.pyi"), stubs=stubs) == ""


def test_stubs_are_the_same_each_time(stubs: Path, tmp_path: Path) -> None:
    for seed in ("1", "2"):
        command = ["lazify", "stub", "network.blocks", "-o", str(tmp_path / seed)]
        assert said(command, PYTHONPATH=str(EXAMPLES_DIRECTORY), PYTHONHASHSEED=seed) == ""
        for name in ("blocks", "__init__"):
            made = tmp_path / seed / "network" / f"{name}.pyi"
            assert made.read_text() == (stubs / "network" / f"{name}.pyi").read_text()


def test_stub_beside_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "beside_me.py").write_text(
        "from torch import nn\nfrom lazify import lazify\nLazyLinear = lazify(nn.Linear)\n"
    )
    monkeypatch.chdir(tmp_path)
    assert main(["stub", "beside_me"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'beside_me.pyi'}\n"
    assert "LazyLinear: _LazyLinear" in (tmp_path / "beside_me.pyi").read_text()


INSTANCES = """
import logging
import pathlib
import sys
from torch import nn
from lazify import axis, lazify

@lazify(exclude=["n"])
class Block(nn.Module):
    def __init__(self, n: int, out: int = 3) -> None:
        super().__init__()
        self.l = nn.Linear(n, out)

LazyConv = lazify(nn.Conv2d)
b = Block(4)
eager = Block(n=3)
c = LazyConv(3, 3)
blocks = [Block(1), Block(2)]
by_name = {"a": LazyConv(1, 1)}
mixed = [Block(1), 3]
nothing: list[int] = []
logger = logging.getLogger("x")
path = pathlib.PurePosixPath(".")
out = sys.stdout
model = nn.Sequential(Block(1))
"""
USES_OF_INSTANCES = """
from logging import Logger
from typing_extensions import assert_type
from torch import nn
import instances
from instances import Block

assert_type(instances.b, Block)
assert_type(instances.eager, Block)
assert_type(instances.c, nn.Conv2d)
assert_type(instances.blocks, list[Block])
assert_type(instances.by_name, dict[str, nn.Conv2d])
assert_type(instances.logger, Logger)
assert_type(instances.model, nn.Sequential)
assert_type(instances.mixed[0], int)  # type: ignore
"""


def test_variables_of_a_module_have_the_types_of_their_values(tmp_path: Path) -> None:
    stubs, user = tmp_path / "stubs", tmp_path / "user.py"
    (tmp_path / "instances.py").write_text(INSTANCES)
    user.write_text(USES_OF_INSTANCES)
    assert said(["lazify", "stub", "instances", "-o", str(stubs)], PYTHONPATH=f"{tmp_path}:{ROOT}") == ""
    made = stubs / "instances.pyi"
    assert mypy(user, made, stubs=stubs) == ""
    assert pyright(tmp_path, user, made, stubs=stubs) == ""


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("no.such.module", "cannot import 'no.such.module': No module named 'no'"),
        ("json", "there are no lazy classes in 'json'"),
    ],
)
def test_stub_errors(module: str, words: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["stub", module])
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.slow
def test_the_table_of_types_is_what_the_checkers_say() -> None:
    """`python tests/helpers/type_table.py --write`: it runs six checks, two of them on stubs."""
    pytest.importorskip("mypy")
    pytest.importorskip("pyright")
    assert type_table.block() == type_table.table()


def test_the_table_of_types_has_every_form() -> None:
    lines = type_table.block().splitlines()
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]] == [*type_table.FORMS]
