"""What each type checker says of each way to use lazify, as a table: made by running the checkers.

    PYTHONPATH=tests python tests/helpers/type_table.py          prints it
    PYTHONPATH=tests python tests/helpers/type_table.py --write  puts it into notebooks/types.md

Each form is a small program: a right call, one without arguments, one with an unknown argument, and a subclass. A
column says what the checker makes of them. A checker that reports nothing of any form does not check calls at all.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

__all__ = ["FORMS", "PAGE", "block", "table"]

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "notebooks" / "types.md"

BLOCK_CLASS = """
class Block(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
"""


class Form(NamedTuple):
    """One way to use lazify.

    Attributes:
        definitions: the module that defines the class.
        cls: the expression that is called; its instances are of the class `result`.
        right: arguments that are right at run time.
        result: the class of which the right call makes an instance.
    """

    definitions: str
    cls: str
    right: str
    result: str


#: The form as the table shows it -> what is checked.
FORMS = {
    "a rule as the default: `*, in_features: int = axis(-1)`": Form(
        "@lazify\nclass Head(nn.Module):\n"
        "    def __init__(self, num_classes: int, *, in_features: int = axis(-1)) -> None:\n"
        "        super().__init__()\n",
        "Head",
        "10",
        "Head",
    ),
    "`lazify(nn.Conv2d)`": Form("LazyConv2d = lazify(nn.Conv2d)\n", "LazyConv2d", "8, 3", "nn.Conv2d"),
    "`lazify(Block)`, first parameter dropped": Form(
        f"{BLOCK_CLASS}LazyBlock = lazify(Block)\n", "LazyBlock", "8", "Block"
    ),
    '`lazify(Block, exclude=["in_channels"])`': Form(
        f'{BLOCK_CLASS}LazyBlock = lazify(Block, exclude=["in_channels"])\n', "LazyBlock", "8", "Block"
    ),
    "`lazify(Block, keyword_only=True)`": Form(
        f"{BLOCK_CLASS}LazyBlock = lazify(Block, keyword_only=True)\n", "LazyBlock", "out_channels=8", "Block"
    ),
    "`@lazify` over `Block`": Form(f"@lazify{BLOCK_CLASS}", "Block", "8", "Block"),
    '`@lazify(exclude=["in_channels"])` over `Block`': Form(
        f'@lazify(exclude=["in_channels"]){BLOCK_CLASS}', "Block", "8", "Block"
    ),
}

HEADER = "from torch import nn\n\nfrom lazify import axis, lazify\n\n\n"
#: What stands before the lines that are checked, and the lines: a right call, two wrong ones, a subclass.
IMPORTS = "from torch import nn\nfrom typing_extensions import assert_type\n\nfrom {module} import *\n\n"
RIGHT, MISSING, WRONG, TYPE = (
    "assert_type({cls}({right}), {result})",
    "{cls}()",
    "{cls}({right}, no_such_argument=1)",
    "class Sub({result}): ...",
)


def said_of(lines: dict[int, str], errors: set[int], checks_calls: bool) -> str:
    """What the table says, from the numbers of the lines with errors."""
    kinds = {kind: number in errors for number, kind in lines.items()}
    if kinds["type"]:
        return "the class is lost"
    if kinds["right"]:
        return "asks for the dropped arguments"
    if kinds["missing"] and kinds["wrong"]:
        return "exact"
    return "takes any arguments" if kinds["missing"] or kinds["wrong"] or checks_calls else "reports nothing"


def write_programs(directory: Path, prefix: str) -> dict[str, dict[int, str]]:
    """Two files for each form, definitions and uses. Returns: file name of the uses -> number of a line -> its kind."""
    found = {}
    for number, form in enumerate(FORMS.values()):
        module = f"{prefix}{number}"
        (directory / f"{module}.py").write_text(HEADER + form.definitions)
        body = IMPORTS.format(module=module)
        values = {"cls": form.cls, "right": form.right, "result": form.result}
        kinds = {"right": RIGHT, "missing": MISSING, "wrong": WRONG, "type": TYPE}
        first = body.count("\n") + 1
        found[f"uses_{module}.py"] = {first + at: kind for at, kind in enumerate(kinds)}
        body += "".join(f"{line.format(**values)}\n" for line in kinds.values())
        (directory / f"uses_{module}.py").write_text(body)
    return found


def run(directory: Path, *command: str) -> str:
    path = os.pathsep.join([str(ROOT), str(directory)])
    environment = {**os.environ, "PYTHONPATH": path, "MYPYPATH": str(directory)}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=directory, env=environment, capture_output=True, text=True
    )
    return done.stdout


def mypy(directory: Path, files: list[str], plugin: bool = False) -> dict[str, set[int]]:
    """File name -> numbers of the lines with errors."""
    config = directory / "mypy.ini"
    config.write_text(f"[mypy]\n{'plugins = lazify.mypy' if plugin else ''}\n")
    text = run(
        directory, "mypy", "--config-file", str(config), "--cache-dir", str(directory / f"cache{plugin}"), *files
    )
    found: dict[str, set[int]] = {}
    for name, line in re.findall(r"^(.*?\.py):(\d+): error:", text, re.MULTILINE):
        found.setdefault(Path(name).name, set()).add(int(line))
    return found


def pyright(directory: Path, files: list[str], mode: str) -> dict[str, set[int]]:
    """File name -> numbers of the lines with errors. The mode "off" is that of Pylance before any setting."""
    config = {"include": files, "extraPaths": [str(ROOT)], "typeCheckingMode": mode}
    (directory / "pyrightconfig.json").write_text(json.dumps(config))
    text = run(directory, "pyright", "--pythonpath", sys.executable, "-p", str(directory), "--outputjson")
    found: dict[str, set[int]] = {}
    for each in json.loads(text)["generalDiagnostics"]:
        if each["severity"] == "error":
            found.setdefault(Path(each["file"]).name, set()).add(each["range"]["start"]["line"] + 1)
    return found


def columns() -> dict[str, list[str]]:
    """Name of a checker -> what it says of each form."""
    with tempfile.TemporaryDirectory() as place:
        plain, stubbed = Path(place, "plain"), Path(place, "stubbed")
        for each in (plain, stubbed):
            each.mkdir()
        lines = write_programs(plain, "form")
        write_programs(stubbed, "form")
        for number in range(len(FORMS)):
            run(stubbed, "lazify", "stub", f"form{number}", "-o", ".")
        files = list(lines)
        errors = {
            "Pylance, as installed": pyright(plain, files, "off"),
            "pyright, standard": pyright(plain, files, "standard"),
            "mypy": mypy(plain, files),
            "mypy, plugin": mypy(plain, files, plugin=True),
            "pyright, stub": pyright(stubbed, files, "standard"),
            "mypy, stub": mypy(stubbed, files),
        }
    return {
        checker: [said_of(kinds, found.get(name, set()), bool(found)) for name, kinds in lines.items()]
        for checker, found in errors.items()
    }


def table() -> str:
    made = columns()
    lines = [f"| form | {' | '.join(made)} |", f"| --- |{' --- |' * len(made)}"]
    for number, form in enumerate(FORMS):
        lines.append(f"| {form} | {' | '.join(column[number] for column in made.values())} |")
    return "\n".join(lines)


BLOCK = re.compile(r"(<!-- types: [^\n]* -->\n)(.*?)(\n?<!-- end -->)", re.DOTALL)


def block() -> str:
    """The table on the page."""
    found = BLOCK.search(PAGE.read_text())
    assert found is not None
    return found[2].strip()


if __name__ == "__main__":
    made = table()
    print(made)
    if "--write" in sys.argv[1:]:
        PAGE.write_text(BLOCK.sub(lambda found: f"{found[1]}{made}\n<!-- end -->", PAGE.read_text()))
