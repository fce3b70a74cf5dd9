"""Lazy models written in one process are read in another, as `.ci/versions.py` does it between versions of torch."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.exchange import read, write
from helpers.versions import INSTALLED, ROOT


def test_what_is_written_is_read(tmp_path: Path) -> None:
    read(write(tmp_path))


def test_what_another_wrote_is_read_and_ones_own_written(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    shutil.copy(write(tmp_path / "before"), tmp_path / "1.0.0.pkl")
    done = subprocess.run(
        [sys.executable, "-m", "helpers.exchange", str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"torch {INSTALLED} reads what torch 1.0.0 wrote\n"
    assert (tmp_path / f"{INSTALLED}.pkl").exists()


@pytest.mark.parametrize("kind", ["pickle", "lazy checkpoint", "checkpoint"])
def test_a_wrong_file_is_noticed(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path)
    written = pickle.loads(path.read_bytes())
    written["untouched"][kind] = written["of_an_own_class"][kind]
    path.write_bytes(pickle.dumps(written))
    with pytest.raises((AssertionError, RuntimeError)):
        read(path)
