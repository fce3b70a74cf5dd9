"""`python -m lazify show`."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

import lazify
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


def test_a_dotted_name(capsys: pytest.CaptureFixture[str]) -> None:
    for target in ("torch.nn.Conv2d", "torch.nn.modules.conv.Conv2d"):
        assert main(["show", target]) == 0
        assert capsys.readouterr().out == f"{explain(LazyConv2d)}\n"


def test_arguments_without_an_input_are_a_lazy_instance(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "torch.nn.Linear", "--arg", "out_features=3"]) == 0
    assert capsys.readouterr().out.endswith("\n\nLazyLinear(in_features=?, out_features=3)\n")


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(
        f"lazify {lazify.__version__} (torch {torch.version.__version__}, Python 3."
    )
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert all(f"    {command} " in err for command in ("demo", "show", "stub"))


#: Wrong arguments of `show`, and what the one line of the answer says of them.
WRONG = {
    "torch.nn": "'torch.nn' is a module: name a class in it",
    "nowhere:X": "cannot import 'nowhere': No module named 'nowhere'",
    "Conv2d": "cannot import 'Conv2d': No module named 'Conv2d'; did you mean torch.nn.Conv2d?",
    "torch.nn.Conv2D": "'torch.nn' has no 'Conv2D'; did you mean 'Conv2d'?",
    "nowhere.X": "cannot import 'nowhere.X': No module named 'nowhere'",
    "torch.nn:Nope": "'torch.nn' has no 'Nope'",
    "torch.nn.Nope": "'torch.nn' has no 'Nope'",
    "torch.nn.Conv2d.Nope": "'torch.nn.Conv2d' has no 'Nope'",
    "torch.nn:functional.relu": "is not an nn.Module class",
    "blocks/mine.py:Block": "is a path: give the name by which it is imported, as in blocks.mine:Block",
    ".mine:Block": "'.mine' is not the name of a module",
    "torch.nn:Linear --input 2xx": "--input takes sizes as in 2x3x32x32, got '2xx'",
    "torch.nn:Linear --input 2x-3": "--input takes sizes as in 2x3x32x32, got '2x-3'",
    "torch.nn:Linear --arg out --input 2x5": "--arg takes name=value, got 'out'",
    "torch.nn:Linear --arg a=1 --arg a=2": "--arg a=... is there twice",
    "torch.nn:Linear --input 2x5": "argument: 'out_features' (give it with --arg name=value)",
    "torch.nn:Linear --arg out_features=-3 --input 2x5": "torch.nn:Linear: RuntimeError: Trying to create tensor with",
    "torch.nn:Bilinear --arg out_features=3 --input 2x5": "'input2' (repeat --input, once for each argument)",
    "torch.nn:Linear --arg nope=3": "unexpected keyword argument 'nope'",
    "helpers.modules:LazyOdd --exclude zz": "--exclude does not apply: helpers.modules:LazyOdd is lazily constructed",
}

#: Those of which lazify says more, and the advice that ends it.
EXPLAINED = {
    "torch.nn:Linear --exclude foo": ("has no constructor parameter 'foo'", "--exclude a,b"),
    "torch.nn:BatchNorm2d --input 5": ("does not determine 'num_features'", "--arg name=value"),
}


def test_no_advice_where_there_is_nothing_to_infer(capsys: pytest.CaptureFixture[str]) -> None:
    err = error_of("show", "torch.nn.ReLU", capsys=capsys)
    assert "no parameter of ReLU" in err
    assert "--exclude" not in err


def error_of(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a wrong command line prints on standard error; on standard output it prints nothing."""
    with pytest.raises(SystemExit) as caught:
        main([*arguments])
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert err.startswith(f"python -m lazify {arguments[0]}: error: ")
    return err


@pytest.mark.parametrize("arguments", WRONG)
def test_wrong_command_lines(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    err = error_of("show", *arguments.split(), capsys=capsys)
    assert WRONG[arguments] in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", EXPLAINED)
def test_advice_is_what_to_type_there(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    err = error_of("show", *arguments.split(), capsys=capsys)
    said, advice = EXPLAINED[arguments]
    assert said in err
    assert err.splitlines()[-1].startswith(f"  {advice}  # ")
    assert "lazify(" not in err


FAILING = {
    "raises": ("import os\n\n1 / 0\n", "3: ZeroDivisionError: division by zero"),
    "exits": ("import sys\nsys.exit(1)\n", "2: SystemExit: 1"),
    "broken": ("x = 1\ndef (", "2: invalid syntax"),
    "imports": ("\nimport nowhere\n", "2: No module named 'nowhere'"),
    "mistaken": ("from torch import nn\nfrom lazify import lazify\nlazify(3)\n", "3: DefinitionError: lazify takes"),
}


@pytest.mark.parametrize("name", FAILING)
@pytest.mark.parametrize("command", ["show", "stub"])
def test_a_failing_import_names_file_and_line(
    name: str, command: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, said = FAILING[name]
    module = f"failing_{name}"
    (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    err = error_of(command, module, capsys=capsys)
    assert f"error: cannot import '{module}': {tmp_path / module}.py:{said}" in err
    assert err.count("\n") == 1


def test_a_directory_that_cannot_be_written(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    err = error_of("stub", "helpers.modules", "-o", str(tmp_path / "file"), capsys=capsys)
    assert f"cannot write {tmp_path / 'file'}" in err
    assert err.count("\n") == 1


def test_show_as_a_process(tmp_path: Any) -> None:
    (tmp_path / "mine.py").write_text("from torch import nn\nclass Mine(nn.Linear): pass\n")
    command = [sys.executable, "-m", "lazify", "show", "mine:Mine"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Mine(")
