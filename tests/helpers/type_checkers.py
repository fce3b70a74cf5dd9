"""What mypy and pyright say of files, with `lazify` as it is here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

#: Where examples are.
EXAMPLES_DIRECTORY = Path(__file__).parent.parent / "static"
ROOT = EXAMPLES_DIRECTORY.parent.parent


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True
    )


def said(command: list[str], **environment: str) -> str:
    """What a checker prints; empty if it found nothing."""
    done = run(command, **environment)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def mypy(*files: Path, plugin: bool = False, stubs: Path = EXAMPLES_DIRECTORY) -> str:
    pytest.importorskip("mypy")
    cache = ROOT / ".mypy_cache" / ("with_plugin" if plugin else "without_plugin")  # else each run begins anew
    cache.mkdir(parents=True, exist_ok=True)
    config = cache / "mypy.ini"
    config.write_text(f"[mypy]\nstrict = true\n{'plugins = lazify.mypy' if plugin else ''}\n")
    command = ["mypy", "--config-file", str(config), "--cache-dir", str(cache), *map(str, files)]
    return said(command, MYPYPATH=f"{stubs}:{EXAMPLES_DIRECTORY}")


def pyright(directory: Path, *files: Path, stubs: Path = EXAMPLES_DIRECTORY) -> str:
    pytest.importorskip("pyright")
    config = {
        "include": [os.path.relpath(each, directory) for each in files],
        "stubPath": str(stubs),
        "extraPaths": [str(EXAMPLES_DIRECTORY), str(ROOT)],
        "typeCheckingMode": "standard",
        "reportUnnecessaryTypeIgnoreComment": "error",
        "reportUnusedExpression": "none",
    }
    written = directory / "pyrightconfig.json"
    written.write_text(json.dumps(config))
    done = run(["pyright", "--pythonpath", sys.executable, "-p", str(written), "--outputjson"])
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] == len(files)  # paths that it cannot read it passes over
    return "\n".join(_line(each) for each in found["generalDiagnostics"] if each["severity"] != "warning")


def _line(diagnostic: dict[str, Any]) -> str:
    """As pyright prints it."""
    name, start = Path(diagnostic["file"]).name, diagnostic["range"]["start"]
    place = f"{name}:{start['line'] + 1}:{start['character'] + 1}"
    return f"{place} - {diagnostic['severity']}: {diagnostic['message']}"
