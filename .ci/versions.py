#!/usr/bin/env python3
"""The default tests with other versions of torch and Python, a table of the results, and an exchange of files.

    .ci/versions.py 2.6.0 2.8.0            with the Python that runs this
    .ci/versions.py 2.13.0@3.10            with another one
    .ci/versions.py --exchange 2.4.1 2.15.0
                                           and what each version writes is read by the others

Each gets an environment of its own, one at a time, deleted afterwards. On Linux most builds of torch on the package
index are for CUDA. Nothing of CUDA is fetched: `cuda_stand_ins.py` takes its place, with gcc. Fetching torch takes a
minute or two (530 to 900 MB), an environment up to 2.5 GB of disk, the tests some minutes. No constraint of pip's
reaches these environments, as each has the torch that it is for.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from cuda_stand_ins import write_stand_ins

ROOT = Path(__file__).resolve().parent.parent
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"

#: Run in an environment: its requirements, but for torch, for what torch wants of CUDA, and for lazify itself.
REQUIREMENTS = """
import importlib.metadata, re
from pip._vendor.packaging.requirements import Requirement
for name, extras in ("torch", [""]), ("torch-lazify", ["", "test", "demo"]):
    for each in map(Requirement, importlib.metadata.requires(name) or ()):
        wanted = each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in extras)
        if wanted and not re.match("torch$|torch-lazify$|nvidia|cuda|triton", each.name):
            print(f"{each.name}{each.specifier}")
"""


#: No constraint, whoever set it, for the packages and for what builds them.
FREE_PIP = {
    "PIP_CONSTRAINT": os.devnull,
    "PIP_BUILD_CONSTRAINT": os.devnull,
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}


class Failure(Exception):
    """Something that had to be done before the tests, and could not be."""


@dataclass(frozen=True)
class Version:
    """A version of torch and one of Python."""

    torch: str
    python: str

    @staticmethod
    def parsed(text: str) -> Version:
        """
        >>> Version.parsed("2.13.0@3.10")
        Version(torch='2.13.0', python='3.10')
        """
        if not (match := re.fullmatch(r"(\d+\.\d+\.\d+)(?:@(3\.\d+))?", text)):
            raise argparse.ArgumentTypeError(f"{text!r} is no version: 2.6.0, or 2.13.0@3.10")
        return Version(match[1], match[2] or RUNNING)


@dataclass(frozen=True)
class Result:
    """The numbers of tests, or why there are none."""

    version: Version
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    minutes: float = 0
    problem: str = ""

    def row(self) -> str:
        result = self.problem or f"{self.passed:,} passed, {self.failed:,} failed, {self.skipped:,} skipped"
        return f"| {self.version.torch:<7} | {self.version.python:<6} | {result:<42} | {self.minutes:>7.1f} |"


def table(results: list[Result]) -> str:
    return "\n".join(
        [
            f"| {'torch':<7} | Python | {'default tests':<42} | minutes |",
            f"| {'-' * 7} | ------ | {'-' * 42} | ------- |",
        ]
        + [result.row() for result in results]
    )


# ---------------------------------------------------------------------------------------------
# Environments


def call(*command: object, quiet: bool = True, **environment: str) -> str:
    """Run a command in the root of the repository; its output, if it is not shown. A failure is a `Failure`."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, **FREE_PIP, **environment},
        text=True,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.PIPE if quiet else None,
    )
    if done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command[1:6]))}: exit code {done.returncode}\n{done.stderr or ''}")
    return done.stdout or ""


def interpreter(version: str) -> str:
    """The path of a Python of this version: on the PATH, or one of pyenv's."""
    if version == RUNNING:
        return sys.executable
    candidates = [f"python{version}"]
    if shutil.which("pyenv"):
        installed = Path(call("pyenv", "root").strip(), "versions").glob(f"{version}.*/bin/python")
        candidates += map(str, sorted(installed, key=lambda path: path.stat().st_mtime))
    for candidate in filter(shutil.which, candidates):
        with contextlib.suppress(Failure):
            return call(candidate, "-c", "import sys; print(sys.executable)").strip()
    raise Failure(f"there is no Python {version} here")


@contextlib.contextmanager
def environment(version: Version) -> Iterator[Path]:
    """The Python of a virtual environment with this torch and lazify, as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix=".versions-", dir=ROOT) as folder:
        print(f"\n== torch {version.torch}, Python {version.python}: an environment", flush=True)
        call(interpreter(version.python), "-m", "venv", folder)
        python = Path(folder, "bin", "python")
        pip = [python, "-m", "pip", "install", "--quiet", "--no-cache-dir"]
        call(*pip, "--no-deps", f"torch=={version.torch}")
        call(*pip, "--no-deps", "--editable", ROOT)
        call(*pip, "pytest-xdist", *call(python, "-c", REQUIREMENTS).split())
        (libraries,) = Path(folder, "lib").glob("python*/site-packages/torch/lib")
        write_stand_ins(libraries)
        found = call(python, "-c", "import torch; print(torch.__version__)").strip()
        if found.partition("+")[0] != version.torch:
            raise Failure(f"pip installed torch {found}")
        print(f"== torch {found}, Python {version.python}", flush=True)
        yield python


# ---------------------------------------------------------------------------------------------
# Runs


def tested(version: Version, python: Path) -> Result:
    """Run the default tests."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        options = ["-q", "-n", str(os.cpu_count() or 1), "-p", "no:cacheprovider", f"--junitxml={report}"]
        with contextlib.suppress(Failure):  # the report says what failed
            call(python, "-m", "pytest", *options, quiet=False)
        minutes = (time.monotonic() - began) / 60
        if not report.exists():
            return Result(version, minutes=minutes, problem="pytest did not end", failed=1)
        suite = next(ElementTree.parse(report).getroot().iter("testsuite"))
        number, failures, errors, skipped = (int(suite.get(n, 0)) for n in ("tests", "failures", "errors", "skipped"))
    failed = failures + errors
    return Result(version, number - failed - skipped, failed, skipped, minutes)


def exchange(python: Path, shared: Path) -> None:
    """Read what other versions have written, and write what this one writes."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    call(python, "-m", "helpers.exchange", shared, quiet=False, PYTHONPATH=paths)


def run(version: Version, shared: Path | None, only_exchange: bool = False) -> Result:
    try:
        with environment(version) as python:
            if shared is not None:
                exchange(python, shared)
            return Result(version) if only_exchange else tested(version, python)
    except Failure as failure:
        print(failure, flush=True)
        return Result(version, problem=str(failure).partition("\n")[0])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="+", type=Version.parsed, metavar="TORCH[@PYTHON]")
    parser.add_argument("--exchange", action="store_true", help="each version reads what the others write")
    options = parser.parse_args(arguments)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        shared = Path(folder) if options.exchange else None
        results = [run(version, shared) for version in options.versions]
        for version in options.versions[:-1] if options.exchange else []:  # what was written after them
            back = run(version, shared, only_exchange=True)
            results += [back] if back.problem else []
    print(f"\n{table(results)}", flush=True)
    return int(any(result.failed or result.problem or not result.passed for result in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
