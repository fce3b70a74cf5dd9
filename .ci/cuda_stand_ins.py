"""Stand-ins for the CUDA libraries that a build of torch links to.

    python .ci/cuda_stand_ins.py .../site-packages/torch/lib

On the package index most builds of torch for Linux are for CUDA, and want gigabytes of its libraries before
`import torch` passes. On a machine without a GPU none of their functions is called, so that for each library that is
missing one with the same symbols is compiled, and put beside torch's own. It says that there is no device.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

#: Programs that are needed, of which package.
TOOLS = {"gcc": "gcc", "readelf": "binutils", "nm": "binutils", "ldd": "libc-bin"}

#: What is asked when torch is imported; any other function returns 0.
ANSWERS = {
    "cudaGetDeviceCount": "int cudaGetDeviceCount(int *count) { *count = 0; return 100; }",
    "cudaGetErrorName": 'const char *cudaGetErrorName(int error) { return "cudaErrorNoDevice"; }',
    "cudaGetErrorString": 'const char *cudaGetErrorString(int error) { return "no CUDA-capable device is detected"; }',
}
#: Symbols without a version that belong to CUDA, whichever of its libraries has them.
OF_CUDA = re.compile(r"_*(cu|nv|fatbin)|p?nccl", re.IGNORECASE)


def output_of(*command: object) -> str:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True).stdout


def missing_libraries(folder: Path) -> list[str]:
    """The names of the libraries that torch's own link to, and that are not in their folder.

    Those of a CUDA that is installed here count as missing: it need not be the one, nor be complete.
    """
    missing = set()
    for library in folder.glob("*.so*"):
        for name, place in re.findall(r"(\S+) => (not found|/\S+)", output_of("ldd", library)):
            elsewhere = Path(place).parent.resolve() != folder.resolve()
            if place == "not found" or ("cuda" in place and elsewhere):
                missing.add(name)
    return sorted(missing)


def wanted_symbols(libraries: Iterable[Path]) -> dict[str, dict[str, set[str]]]:
    """Library -> version of its symbols -> symbols that torch wants of it; under "" those that name no library."""
    wanted: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    undefined, defined, library_of = set(), set(), {}
    for path in libraries:
        for line in output_of("nm", "--dynamic", path).splitlines():
            kind, symbol = line.split()[-2:]
            if kind in "Uwv":
                undefined.add(symbol)
            else:
                defined.add(symbol.partition("@")[0])
        library = ""
        for line in output_of("readelf", "--version-info", "--wide", path).splitlines():
            if match := re.search(r"File: (\S+)", line):
                library = match[1]
            elif match := re.search(r"Name: (\S+) +Flags", line):
                library_of[match[1]] = library
    for symbol in undefined:
        name, _, version = symbol.partition("@")
        if name not in defined and (version or OF_CUDA.match(name)):
            wanted[library_of.get(version, "")][version].add(name)
    return wanted


def compile_stand_in(path: Path, symbols: dict[str, set[str]]) -> None:
    """Compile a library of this name with these symbols, each under its version."""
    names = sorted(set().union(*symbols.values()))
    versions = {version: group for version, group in symbols.items() if version}
    with tempfile.TemporaryDirectory() as folder:
        source, versions_file = Path(folder, "stand_in.c"), Path(folder, "versions")
        source.write_text("".join(ANSWERS.get(name, f"long {name}(void) {{ return 0; }}") + "\n" for name in names))
        versions_file.write_text("".join(f"{v} {{ global: {'; '.join(sorted(g))}; }};\n" for v, g in versions.items()))
        script = [f"-Wl,--version-script={versions_file}"] if versions else []
        output_of(
            *("gcc", "-shared", "-fPIC", "-w", "-fno-builtin", f"-Wl,-soname,{path.name}"), *script, "-o", path, source
        )


def write_stand_ins(folder: Path) -> list[str]:
    """Write a stand-in for each library that is missing, into the folder of torch's own; returns their names."""
    if not sys.platform.startswith("linux"):
        return []
    if absent := sorted({f"{tool} (Debian: {package})" for tool, package in TOOLS.items() if not shutil.which(tool)}):
        raise SystemExit(f"stand-ins for the CUDA libraries cannot be compiled here without {', '.join(absent)}")
    if not (missing := missing_libraries(folder)):
        return []
    wanted = wanted_symbols(folder.glob("*.so*"))
    for name in missing:
        symbols = dict(wanted.get(name, {}))
        if name == missing[0]:  # whichever it is, it has what names no library
            symbols[""] = wanted.get("", {}).get("", set())
        compile_stand_in(folder / name, symbols)
    if remaining := missing_libraries(folder):
        raise SystemExit(f"torch still links to libraries that are not there: {', '.join(remaining)}")
    return missing


if __name__ == "__main__":
    print("\n".join(write_stand_ins(Path(sys.argv[1]))))
