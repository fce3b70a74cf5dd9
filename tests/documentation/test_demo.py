"""`python -m lazify demo`: it passes its own check, notices what it should, and says what is missing."""

import sys

import pytest
import torch

from lazify import demo
from lazify.__main__ import main


def test_demo_passes_its_self_check(capsys):
    assert main(["demo"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines()[-1].startswith("self-check passed: ")
    assert "LazyResidualBlock(in_channels=?, out_channels=32, stride=2)" in out
    assert "ResidualBlock(in_channels=16, out_channels=32, stride=2)" in out
    classifier = next(line for line in out.splitlines() if line.startswith("  Classifier"))
    assert classifier.split("  (")[1:] == [
        "in_features: int, hidden: int, num_classes: int)     ",
        "hidden: int, num_classes: int)",
    ]


def test_demo_is_deterministic(capsys):
    demo.run(epochs=3)
    first = capsys.readouterr().out
    demo.run(epochs=3)
    assert capsys.readouterr().out == first


def test_demo_fails_where_the_parameters_differ(monkeypatch, capsys):
    eager_network = demo.eager_network

    def one_draw_later():
        torch.rand(1)
        return eager_network()

    monkeypatch.setattr(demo, "eager_network", one_draw_later)
    assert demo.run(epochs=1) == 1
    message = "self-check FAILED: stem.conv.weight is not bit for bit that of the eager network\n"
    assert capsys.readouterr().err == message


def test_demo_fails_where_nothing_is_learned(capsys):
    assert demo.run(epochs=0) == 1
    assert capsys.readouterr().err.startswith("self-check FAILED: nothing was learned")


def test_without_scikit_learn_the_demo_says_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert main(["demo"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "python -m pip install scikit-learn" in err


@pytest.mark.parametrize("arguments", [[], ["dmeo"], ["demo", "--fast"], ["--verbose"]])
def test_wrong_arguments_exit_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "python -m lazify: error: " in err or "python -m lazify demo: error: " in err
