"""The versions that lazify supports are the same wherever they are named, and the README's table of them is true."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.distributed.fsdp
from torch import nn

import lazify.nn as lnn
from helpers.versions import INSTALLED, PINNED, ROOT
from lazify._torch import NEWEST_TESTED, OLDEST_SUPPORTED, methods_of_modules

README, VERSIONS, CI, PROJECT, WORKFLOW, CONTRIBUTING = (
    (ROOT / path).read_text(encoding="utf-8")
    for path in (
        *("README.md", "notebooks/versions.md", ".ci/run", "pyproject.toml"),
        *(".github/workflows/ci.yml", ".github/CONTRIBUTING.md"),
    )
)


def minor(version: str) -> tuple[int, ...]:
    """
    >>> minor("2.13.0")
    (2, 13)
    """
    return tuple(int(part) for part in version.split(".")[:2])


# ---------------------------------------------------------------------------------------------
# One set of versions


def test_the_versions_of_torch() -> None:
    assert minor(OLDEST_SUPPORTED) <= minor(PINNED) <= minor(NEWEST_TESTED)
    assert f".ci/versions.py --exchange {OLDEST_SUPPORTED} {NEWEST_TESTED}\n" in CI
    assert f'"torch>={OLDEST_SUPPORTED.rpartition(".")[0]}"' in PROJECT
    first_screen = README.partition("### In a clone")[0]
    assert "torch {}.{} to {}.{} and Python".format(*minor(OLDEST_SUPPORTED), *minor(NEWEST_TESTED)) in first_screen
    in_workflow = set(re.findall(r'torch: "(.*?)"', WORKFLOW))
    assert {OLDEST_SUPPORTED, PINNED, NEWEST_TESTED} <= in_workflow
    (listed,) = re.findall(r"The tests run with torch ([\d., and\n]+[\d])", VERSIONS)
    assert set(re.findall(r"[\d.]+\d", listed)) == in_workflow


def test_the_versions_of_python() -> None:
    classified = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PROJECT)
    first_screen = README.partition("### In a clone")[0]
    assert f"Python {classified[0]} to {classified[-1]} ([versions]" in " ".join(first_screen.split())
    assert f'requires-python = ">={classified[0]}"' in PROJECT
    in_workflow = set(re.findall(r'python: "(.*?)"', WORKFLOW))
    assert in_workflow == set(classified)


def test_the_command_before_a_release_has_the_versions_of_the_workflow() -> None:
    (command,) = re.findall(r"^\.ci/versions\.py (2.*)$", CONTRIBUTING, re.MULTILINE)
    named = set(command.split()) | {OLDEST_SUPPORTED, NEWEST_TESTED}
    matrix = re.findall(r'torch: "(.*?)", python: "(.*?)"', WORKFLOW)
    assert named == {torch if python == "3.11" else f"{torch}@{python}" for torch, python in matrix}


# ---------------------------------------------------------------------------------------------
# What older versions lack


def rows() -> list[tuple[tuple[int, ...], str, str]]:
    found = re.findall(r"^\| before (\d+\.\d+) +\| (.*?) *\| (.*?) *\|$", VERSIONS, re.MULTILINE)
    return [(minor(version), names, elsewhere) for version, names, elsewhere in found]


def names_in(cell: str) -> list[str]:
    return re.findall(r"`(\w+)\*?`", cell)


def test_names_that_lazify_nn_lacks() -> None:
    missing = {name: version for version, cell, _ in rows() if "bias=" not in cell for name in names_in(cell)}
    assert len(missing) == 4
    for name, version in missing.items():
        assert hasattr(lnn, name) == (minor(INSTALLED) >= version), name
        if not name.startswith("Lazy"):
            assert hasattr(nn, name) == hasattr(lnn, name)


def test_norms_without_the_option_bias() -> None:
    ((version, cell, _),) = [row for row in rows() if "bias=" in row[1]]
    for name in names_in(cell):
        for cls in (each for each in vars(lnn) if each.startswith((name, f"Lazy{name}"))):
            takes_bias = "bias" in inspect.signature(getattr(lnn, cls)).parameters
            assert takes_bias == (minor(INSTALLED) >= version), cls


def test_methods_that_modules_lack() -> None:
    ((version, _, cell),) = [row for row in rows() if "methods" in row[2]]
    for name in names_in(cell):
        assert (name in methods_of_modules([name])) == hasattr(nn.Module, name) == (minor(INSTALLED) >= version)
        assert (name in vars(lnn.LazyLinear.__mro__[1].__mro__[1])) == (minor(INSTALLED) >= version)


def test_fully_shard() -> None:
    ((version, _, _),) = [row for row in rows() if "fully_shard" in row[2]]
    assert hasattr(torch.distributed.fsdp, "fully_shard") == (minor(INSTALLED) >= version)


# ---------------------------------------------------------------------------------------------
# The command for other versions


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))
    return importlib.import_module("versions")


def test_a_version_and_its_python(versions: Any) -> None:
    assert versions.Version.parsed("2.6.0") == versions.Version("2.6.0", versions.RUNNING)
    assert versions.Version.parsed("2.13.0@3.10") == versions.Version("2.13.0", "3.10")
    done = subprocess.run(
        [sys.executable, str(ROOT / ".ci" / "versions.py"), "2.6"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "'2.6' is no version: 2.6.0, or 2.13.0@3.10" in done.stderr


def test_the_table(versions: Any) -> None:
    version = versions.Version("2.6.0", "3.10")
    results = [
        versions.Result(version, 4000, 1, 30, 5.25),
        versions.Result(version, problem="there is no Python 3.10 here"),
    ]
    assert versions.table(results).splitlines() == [
        "| torch   | Python | default tests                              | minutes |",
        "| ------- | ------ | ------------------------------------------ | ------- |",
        "| 2.6.0   | 3.10   | 4,000 passed, 1 failed, 30 skipped         |     5.2 |",
        "| 2.6.0   | 3.10   | there is no Python 3.10 here               |     0.0 |",
    ]


def test_a_python_that_is_not_here(versions: Any) -> None:
    result = versions.run(versions.Version("2.6.0", "3.99"), None)
    assert result.problem == "there is no Python 3.99 here"
    assert versions.interpreter(versions.RUNNING) == sys.executable


def test_what_is_missing_to_compile_stand_ins_is_said(
    versions: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_ins = importlib.import_module("cuda_stand_ins")
    monkeypatch.setattr(stand_ins.sys, "platform", "linux")
    monkeypatch.setattr(stand_ins.shutil, "which", lambda tool: None if tool in ("gcc", "nm") else f"/bin/{tool}")
    with pytest.raises(SystemExit, match=r"without gcc \(Debian: gcc\), nm \(Debian: binutils\)"):
        stand_ins.write_stand_ins(tmp_path)
