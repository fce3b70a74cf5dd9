"""What counts by what the process has loaded or allocated, and so needs one of its own. Prints one JSON object.

python -m benchmarks.alone WHAT CONTENDER ARGUMENT
"""

from __future__ import annotations

import gc
import json
import re
import resource
import sys
import time
import warnings
from pathlib import Path

import torch
from torch import nn

from benchmarks.contenders import LAZIFY, OURS, TORCHLAYERS, Contender, torchlayers
from benchmarks.models import PROBLEMS, large
from benchmarks.rounds import EAGER, timed
from lazify import materialize


def peak() -> int:
    """The most bytes that this process has ever held."""
    try:  # on Linux: what getrusage says there counts the peak of the process that started this one, too
        status = Path("/proc/self/status").read_text()
        return int(re.findall(r"^VmHWM:\s*(\d+) kB$", status, re.M)[0]) * 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def layer(contender: Contender, features: str) -> dict[str, float]:
    """By how much a linear layer and its first call raise the peak."""
    n = int(features)
    contender.linear(8, 8)(torch.randn(1, 8))  # whatever the first use of anything allocates
    x = torch.randn(1, n)
    before = peak()
    contender.linear(n, n)(x)
    return {"bytes": peak() - before}


def shapes(contender: Contender, layers: str) -> dict[str, float]:
    """Seconds and the peak of the process, for a large model without memory of its own."""

    def run(count: int) -> nn.Module:
        x = torch.zeros(1, 4096, dtype=torch.long, device="meta")
        with torch.device("meta"):
            model = large(contender, count)
        if contender.name == LAZIFY:
            materialize(model, x, device="meta")
        elif contender.name != EAGER:
            with torch.no_grad():
                model(x)
        return model

    run(1)  # whatever the first use of anything loads
    gc.collect()
    begin = time.thread_time()
    model = run(int(layers))
    seconds = time.thread_time() - begin
    count = sum(parameter.numel() for parameter in model.parameters())
    return {"seconds": seconds, "bytes": peak(), "parameters": count}


def search(contender: Contender, label: str) -> dict[str, float]:
    """Seconds for the first block of the process."""
    problem = next(each for each in PROBLEMS if each.label == label)
    inputs = [torch.randn(shape) for shape in problem.shapes]
    make = problem.lazy(problem.cls) if contender.name == LAZIFY else problem.eager(problem.cls)
    return {"seconds": timed(lambda: make()(*inputs))}


def main(what: str, name: str, argument: str) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    other = torchlayers()[0] if name == TORCHLAYERS else None
    contender = other or next(each for each in OURS if each.name == name)
    print(json.dumps({"layer": layer, "shapes": shapes, "search": search}[what](contender, argument)))


if __name__ == "__main__":
    main(*sys.argv[1:])
