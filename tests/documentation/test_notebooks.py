"""The notebooks run from top to bottom, give the outputs that they show, and their text says what the outputs say.

`PYTHONPATH=tests python tests/documentation/test_notebooks.py --write` runs them and writes the outputs into them (with
names behind it: only those).
"""

from __future__ import annotations

import asyncio
import getpass
import math
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbclient")
pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from helpers.live_kernel import PATIENCE, environment, manager

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"
NAMES = [
    "before_the_first_call",
    "coming_from",
    "frameworks",
    "questions",
    "scale",
    "signatures",
    "tour",
    "train_digits",
    "types_and_editors",
    "values_and_rules",
]
#: How far numbers may lie apart: training rounds differently on every processor.
TOLERANCE = {"train_digits": 0.05}
NUMBER = re.compile(r"\d+(?:\.\d+)?")

Notebook = Any
every_notebook = pytest.mark.parametrize("name", NAMES)


def read(name: str) -> Notebook:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def execute(name: str) -> Notebook:
    """The notebook as it is after all its cells were run; a cell that fails is an error."""
    notebook = read(name)
    with tempfile.TemporaryDirectory() as directory:
        client = NotebookClient(
            notebook,
            km=manager(Path(directory), AsyncKernelManager),
            timeout=2 * PATIENCE,
            record_timing=False,
            coalesce_streams=True,
            extra_arguments=["--log-level=40"],
            resources={"metadata": {"path": directory}},
        )
        asyncio.run(client.async_execute(env=environment(Path(directory)), cleanup_kc=True))
    return notebook


# ---------------------------------------------------------------------------------------------
# Outputs


def code_cells(notebook: Notebook) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(output: Any) -> dict[str, str]:
    """What an output shows, by MIME type: images by presence, a stream as its text."""
    if output.output_type == "stream":
        return {f"text/{output.name}": output.text}
    assert output.output_type in ("execute_result", "display_data"), output
    return {kind: "" if kind.startswith("image/") else text for kind, text in output.data.items()}


def same(made: str, committed: str, tolerance: float) -> bool:
    """Whether two texts are equal, numbers within a tolerance."""
    if not tolerance or made == committed:
        return made == committed
    numbers = zip(NUMBER.findall(made), NUMBER.findall(committed), strict=False)
    return NUMBER.sub("#", made) == NUMBER.sub("#", committed) and all(
        math.isclose(float(one), float(other), rel_tol=tolerance, abs_tol=tolerance) for one, other in numbers
    )


def output_of(notebook: Notebook, source: str, kind: str = "text/stdout") -> str:
    """The output of the one cell that contains `source`."""
    (cell,) = [cell for cell in code_cells(notebook) if source in cell.source]
    (text,) = [shown(output)[kind] for output in cell.outputs if kind in shown(output)]
    return text


def text_of(notebook: Notebook) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


@every_notebook
def test_outputs_made_are_the_outputs_committed(name: str) -> None:
    committed, made = code_cells(read(name)), code_cells(execute(name))
    if name == "signatures" and sys.version_info[:2] != (3, 11):
        pytest.skip("it runs; but each Python lays out `help` in its own way, and 3.11 has written it")
    assert [cell.id for cell in made] == [cell.id for cell in committed]
    for one, other in zip(made, committed, strict=True):
        assert [shown(output).keys() for output in one.outputs] == [shown(output).keys() for output in other.outputs]
        for output, expected in zip(one.outputs, other.outputs, strict=True):
            for kind, text in shown(output).items():
                assert same(text, shown(expected)[kind], TOLERANCE.get(name, 0)), f"{one.id}:\n{text}"
    for check in CLAIMS[name]:
        check(read(name))


# ---------------------------------------------------------------------------------------------
# What the text says


def tour(notebook: Notebook) -> None:
    assert output_of(notebook, "@lazify") == "(out_channels: int, stride: int = 1)\n"
    explained = output_of(notebook, "explain(ResidualBlock)", "text/html")
    assert "in_channels" in explained
    assert "axis(1)" in explained
    lazy = "LazyResidualBlock(in_channels=?, out_channels=16, stride=2)"
    assert output_of(notebook, "block = ResidualBlock(16", "text/plain") == lazy
    assert "same object: True\nclass: ResidualBlock - still lazy: False" in output_of(notebook, "before = block")
    assert output_of(notebook, "    ResidualBlock()") == (
        "ResidualBlock.__init__() missing 1 required positional argument: 'out_channels'\n"
    )


def tour_searches(notebook: Notebook) -> None:
    assert output_of(notebook, "for size in") == (
        "8 x 8: Linear(in_features=144, out_features=10, bias=True)\n"
        "28 x 28: Linear(in_features=2704, out_features=10, bias=True)\n"
    )
    assert output_of(notebook, "torch.zeros(1, 3, 8, 8)").startswith(
        "RuntimeError: Given groups=1, weight of size [4, 1, 3, 3]"
    )
    assert output_of(notebook, "torch.zeros(1, 3, 8, 8)").endswith("\nstill lazy: True\n")


def tour_of_a_model(notebook: Notebook) -> None:
    assert "0.conv.weight\n" in output_of(notebook, "optimizer = ")
    assert "still lazy" in output_of(notebook, "model = nn.Sequential", "text/plain")
    materialized = output_of(notebook, "materialize(model", "text/plain")
    assert "still lazy" not in materialized
    assert re.search(r"in_features = 1024 .*\(1, 1024\)", materialized)
    assert output_of(notebook, "last = ").endswith("the optimizer has its weight: True\n")
    assert "'3': nn.Linear(in_features=1024, out_features=10)," in output_of(notebook, "print(code)")
    lines = output_of(notebook, "exec(code").splitlines()
    assert [line[:2] for line in lines] == ["0:", "1:", "3:"]
    assert all("lazy: False" in line and line.endswith("of the same shapes: True") for line in lines)


def train_digits(notebook: Notebook) -> None:
    assert "1797 handwritten digits" in text_of(notebook)
    assert output_of(notebook, "load_digits(return") == "train: (1437, 1, 8, 8), test: (360, 1, 8, 8)\n"
    for number in ("out_channels=?", "in_channels=1", "in_features=512"):  # given nowhere
        assert number not in "".join(cell.source for cell in code_cells(notebook))
    assert output_of(notebook, "optimizer = ").endswith(" parameters, all UninitializedParameter\n")
    curve = output_of(notebook, "plt.subplots", "image/png")
    assert curve == ""
    explained = output_of(notebook, "explain(network)", "text/plain")
    assert "still lazy" not in explained
    assert "in_features = 512" in explained


def train_digits_learns(notebook: Notebook) -> None:
    """The numbers in the text are those of the last epoch."""
    lines = output_of(notebook, "losses, accuracies = ").splitlines()
    last = re.fullmatch(r"epoch +(\d+): loss ([\d.]+), test accuracy ([\d.]+)", lines[-1])
    assert last is not None
    epochs, loss, accuracy = last.groups()
    right = output_of(notebook, "test images right")
    assert right == f"{round(float(accuracy) * 360)} of 360 test images right\n"
    assert f"After {epochs} epochs" in text_of(notebook)
    assert f"loss of {loss}" in text_of(notebook)
    assert right.removesuffix(" test images right\n") in text_of(notebook)
    assert float(accuracy) > 0.9
    assert output_of(notebook, "restored = make_network()").splitlines()[::2] == [
        "LazyLinear(in_features=?, out_features=10)",
        "Linear(in_features=512, out_features=10, bias=True)",
    ]
    assert output_of(notebook, "trained: ") == (f"trained:  {accuracy}\nrestored: {accuracy}\nsame scores: True\n")


def signatures(notebook: Notebook) -> None:
    before = "(in_channels: int, out_channels: int, stride: int = 1, *, act: type[torch.nn.modules.module.Module] = "
    after = before.replace("in_channels: int, ", "", 1)
    assert output_of(notebook, "A convolution and its activation").startswith(before)
    both = output_of(notebook, "LazyBlock = lazify(Block)\nprint").splitlines()
    assert both[0].startswith(after)
    assert both[1].startswith(before)
    hints = output_of(notebook, "get_type_hints(Lazy", "text/plain")
    assert re.findall(r"'(\w+)': ", hints) == ["out_channels", "stride", "act"]
    inferred = "Lazily constructed Block. Inferred at the first call: `in_channels` from axis(1)."
    for shows in ("pydoc.render_doc", 'shift_tab("LazyBlock")'):
        text = output_of(notebook, shows)
        assert inferred in text
        assert "    out_channels: int,\n" in text or "LazyBlock(out_channels: int, " in text
        assert "in_channels: int" not in text
    assert "    in_channels: int,\n" in output_of(notebook, "def shift_tab")


def signatures_complete(notebook: Notebook) -> None:
    assert [line.split() for line in output_of(notebook, "def tab").splitlines()] == [
        ["Block(", "act=", "in_channels=", "out_channels=", "stride="],
        ["LazyBlock(", "act=", "out_channels=", "stride="],
        ["LazyBlock(out", "out_channels="],
        ["LazyBlock(in", "none"],
    ]
    added = output_of(notebook, "LazyExpand = ").splitlines()
    assert added[0] == "(bias: bool = True, device=None, dtype=None, *, expansion) -> None"
    assert added[1].split() == ["LazyExpand(", "bias=", "device=", "dtype=", "expansion="]
    decorated = output_of(notebook, "class Head")
    assert decorated.startswith("Init signature: Head(num_classes: int)\n")
    assert decorated.endswith(" num_classes=\n")
    missing = "LazyBlock.__init__() missing 1 required positional argument: 'out_channels'\n"
    assert output_of(notebook, "LazyBlock(stride=2)") == missing
    stub = output_of(notebook, '"stub"')
    assert stub.startswith("blocks.pyi\n")
    assert re.search(r"def __call__\(cls, out_channels: int, stride: int ?= ?1", stub)


def values_and_rules(notebook: Notebook) -> None:
    assert (
        output_of(notebook, "Decorated(3, 64)", "text/plain") == "LazyBlock(in_channels=?, out_channels=3, stride=64)"
    )
    assert output_of(notebook, "GuardedBlock(3, 64)").endswith("takes 1 positional argument but 3 were given\n")
    assert "did you mean 'in_features'?" in output_of(notebook, "Misspelt")
    assert output_of(notebook, "LazyDigitNet", "text/plain").startswith("Linear(in_features=144")
    assert "tried:       axis(-1, of='context'): no tensor" in output_of(notebook, "attention = LazyCrossAttention()")


def before_the_first_call(notebook: Notebook) -> None:
    assert output_of(notebook, "AdamW", "text/plain") == "True"
    assert output_of(notebook, "register_forward_hook").startswith("hook: (2, 8)\nsame object: True")
    assert output_of(notebook, "nn.Linear(8, 4).weight", "text/plain") == "True"
    assert output_of(notebook, "load_state_dict") == "<All keys matched successfully>\n"
    assert output_of(notebook, "deepcopy") == "False True\n"
    assert output_of(notebook, "deepcopy", "text/plain") == "True"


def scale(notebook: Notebook) -> None:
    assert output_of(notebook, "eager = ", "text/plain") == "True"
    assert output_of(notebook, "wide = ") == "68.7 billion parameters on meta\n"
    assert "does not reach 1 lazy module" in output_of(notebook, "class Branches")


def types_and_editors(notebook: Notebook) -> None:
    stub = output_of(notebook, '"stub"')
    assert "def __init__(self, out_channels: int, stride: int=1, *, in_channels: int=...) -> None:" in stub
    assert "block: Block\n" in stub


def frameworks(notebook: Notebook) -> None:
    assert "materialize(model, input)" in output_of(notebook, "except ValueError")
    assert output_of(notebook, "mse_loss") == "the loss fell: True\n"
    assert output_of(notebook, "prune", "text/plain") == "16"


def coming_from(notebook: Notebook) -> None:
    assert output_of(notebook, "startswith").startswith("31 lazy classes")
    assert output_of(notebook, "mobile", "text/plain") == "torch.Size([2, 96, 8, 8])"


def questions(notebook: Notebook) -> None:
    assert output_of(notebook, "vars(model[0])", "text/plain") == "(torch.nn.modules.linear.Linear, [])"
    assert output_of(notebook, "in_features=3, out", "text/plain") == "False"


CLAIMS: dict[str, list[Callable[[Notebook], None]]] = {
    "before_the_first_call": [before_the_first_call],
    "coming_from": [coming_from],
    "frameworks": [frameworks],
    "questions": [questions],
    "scale": [scale],
    "signatures": [signatures, signatures_complete],
    "tour": [tour, tour_searches, tour_of_a_model],
    "train_digits": [train_digits, train_digits_learns],
    "types_and_editors": [types_and_editors],
    "values_and_rules": [values_and_rules],
}


def test_what_type_checkers_say(tmp_path: Path) -> None:
    """The words quoted in `signatures` are the checkers'."""
    from helpers.type_checkers import mypy, pyright

    (example,) = re.findall(r"```python\n(.*?)```", text_of(read("signatures")), re.DOTALL)
    quoted = re.findall(r"```text\n(.*?)```", text_of(read("signatures")), re.DOTALL)
    path = tmp_path / "example.py"
    path.write_text(example)
    checkers = [lambda: mypy(path), lambda: mypy(path, plugin=True), lambda: pyright(tmp_path, path)]
    assert len(quoted) == len(checkers)
    for words, check in zip(quoted, checkers, strict=True):
        said = check().replace("\N{NO-BREAK SPACE}", " ")
        assert words.splitlines() == re.findall(
            r"^.*?(example\.py:\d.* (?:error|note|information): .*)$", said, re.MULTILINE
        )


# ---------------------------------------------------------------------------------------------
# The files


def test_every_notebook_is_tested() -> None:
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == NAMES
    assert CLAIMS.keys() == set(NAMES)


@every_notebook
def test_committed_notebooks_are_executed(name: str) -> None:
    """From top to bottom, once; each cell that prints or ends in a value shows it."""
    notebook = read(name)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    for cell in cells:
        assert max(map(len, cell.source.splitlines())) <= 100
        assert not any(output.output_type == "error" for output in cell.outputs)
        assert cell.outputs or "print(" not in cell.source
        assert not any(output.get("name") == "stderr" for output in cell.outputs), cell.id
    assert sum(bool(cell.outputs) for cell in cells) > len(cells) / 2


@every_notebook
def test_nothing_of_the_machine_is_committed(name: str) -> None:
    notebook = read(name)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    text = (NOTEBOOKS / f"{name}.ipynb").read_text()
    images = {output.data["image/png"] for cell in code_cells(notebook) for output in cell.outputs if "data" in output
              and "image/png" in output.data}  # fmt: skip
    for image in images:
        text = text.replace(image.strip(), "")
    assert not re.search(
        r"(?<![\w<])/(tmp|home|root|Users|usr|work|var|opt)/|[A-Z]:\\\\|0x[0-9a-f]{6}|ipykernel_\d", text
    )
    if len(user := getpass.getuser()) > 4:
        assert user not in text
    assert all(not cell.metadata for cell in notebook.cells)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert len(text) < 60_000


# ---------------------------------------------------------------------------------------------
# Writing


def write(name: str) -> None:
    """Run the notebook, and keep of it what every machine gives."""
    notebook = execute(name)
    notebook.metadata = read(name).metadata
    for cell in notebook.cells:
        cell.metadata = {}
    nbformat.write(notebook, NOTEBOOKS / f"{name}.ipynb")


if __name__ == "__main__":
    if sys.argv[1:2] != ["--write"]:
        sys.exit(__doc__)
    for each in sys.argv[2:] or NAMES:
        write(each)
        print(NOTEBOOKS / f"{each}.ipynb")
