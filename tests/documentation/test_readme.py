"""The README holds: every snippet runs, with the outputs that it shows; its commands are those that CI runs."""

import doctest
import os
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
CI = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

#: A fenced block, perhaps inside a list item: its indentation, language and content.
FENCED = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[tuple[int, str]]:
    """Line number and content, as a reader would copy it."""
    found = []
    for block in FENCED.finditer(README):
        indentation, its_language, content = block.groups()
        if its_language == language:
            content = re.sub(rf"^{indentation}", "", content, flags=re.MULTILINE)
            found.append((README.count("\n", 0, block.start(3)) + 1, content))
    return found


@pytest.fixture
def module(monkeypatch) -> ModuleType:
    """A module for the snippets to run in: lazify looks at where a class is reachable from."""
    made = ModuleType("readme")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


def test_snippets_run_and_give_the_outputs_shown(module, capsys):
    snippets = blocks("python")
    assert len(snippets) > 6
    runner, parser = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF), doctest.DocTestParser()
    for line, source in snippets:
        if ">>>" in source:
            test = parser.get_doctest(source, {}, f"README.md:{line}", "README.md", line - 1)
            test.globs = vars(module)  # not a copy: functions of earlier snippets look names up here
            runner.run(test, clear_globs=False)
        else:
            exec(compile("\n" * (line - 1) + source, "README.md", "exec", dont_inherit=True), vars(module))
    failed, attempted = runner.summarize(verbose=False)[:2]
    assert failed == 0, capsys.readouterr().out
    assert attempted > 20


def test_there_are_two_commands_of_one_line():
    commands = [content for _, content in blocks("sh")]
    assert [command.count("\n") for command in commands] == [1, 1]
    assert [command.split(" && ")[-1].strip() for command in commands] == [
        ".venv/bin/python -m lazify demo",
        ".venv/bin/python -m pytest",
    ]


def test_ci_takes_the_commands_from_the_readme():
    """`.ci/run` finds each by its last words; here is what it then runs."""
    ends = re.findall(r"^readme_command '(.*)'$", CI, re.MULTILINE)
    commands = [content.strip() for _, content in blocks("sh")]
    for end in ends:
        assert [line for line in README.splitlines() if line.endswith(end)] == [
            command for command in commands if command.endswith(end)
        ]
    assert sorted(ends) == ["-m lazify demo", "-m pytest"]


def test_files_that_the_readme_names_are_there():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    for path in (*re.findall(r"-c (\S+)", README), *re.findall(r"\]\(([^):]+)\)", README)):
        assert (ROOT / path).is_file(), path


def test_it_is_short():
    assert README.count("\n") <= 165
