"""`python -m lazify show`."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from helpers.modules import LazyConv2d
from lazify import explain
from lazify.__main__ import main


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "torch.nn:Conv2d"]) == 0
    out, err = capsys.readouterr()
    assert out == f"{explain(LazyConv2d)}\n"
    assert err == ""
    assert "\033" not in out
    arguments = ["--input", "2x3x32x32", "--arg", "out_channels=8", "--arg", "kernel_size=3"]
    assert main(["show", "torch.nn:Conv2d", *arguments]) == 0
    out = capsys.readouterr().out
    assert "  in_channels = 3  axis(-3, of='input')  input: (2, 3, 32, 32)" in out.splitlines()
    assert out.splitlines()[-1] == "Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))"
    assert max(map(len, out.splitlines())) <= 80


def test_show_names_and_a_lazy_class(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "torch.nn:Linear", "--exclude", "in_features,out_features"]) == 0
    assert capsys.readouterr().out.count("-- ") == 2
    assert main(["show", "helpers.modules:LazyOdd", "--input", "2x7"]) == 0
    assert "zz = 7" in capsys.readouterr().out


WRONG = {
    "torch.nn": "not of the form module:Class",
    "nowhere:X": "cannot import 'nowhere'",
    "torch.nn:Nope": "'torch.nn' has no 'Nope'",
    "torch.nn:functional": "is not an nn.Module class",
    "torch.nn:ReLU": "no parameter of ReLU is known",
    "torch.nn:Linear --exclude foo": "has no constructor parameter 'foo'",
    "torch.nn:Linear --input 2x5": "missing 1 required positional argument: 'out_features'",
    "torch.nn:Linear --input 2xx": "--input takes sizes as in 2x3x32x32, got '2xx'",
    "torch.nn:Linear --arg out --input 2x5": "--arg takes name=value, got 'out'",
    "torch.nn:BatchNorm2d --input 5": "does not determine 'num_features'",
}


@pytest.mark.parametrize("arguments", WRONG)
def test_wrong_command_lines(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["show", *arguments.split()])
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("python -m lazify show: error: ")
    assert WRONG[arguments] in err
    assert "Traceback" not in err


def test_show_as_a_process(tmp_path: Any) -> None:
    (tmp_path / "mine.py").write_text("from torch import nn\nclass Mine(nn.Linear): pass\n")
    command = [sys.executable, "-m", "lazify", "show", "mine:Mine"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Mine(")
