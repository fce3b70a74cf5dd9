"""What can be done before the first call: to an eager model, with torch's own lazy layers, with lazify's.

    python tests/helpers/parity.py          prints the table
    python tests/helpers/parity.py --write  puts it into notebooks/parity.md

Every row is run: the operation on the model, then one call, then everything observable is compared with the
eager model to which the same was done.
"""

from __future__ import annotations

import copy
import io
import os
import pickle
import re
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import torch.distributed.fsdp
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_, parameters_to_vector, parametrizations, prune, spectral_norm, weight_norm
from torch.optim.swa_utils import AveragedModel

from lazify import lazify

__all__ = ["COLUMNS", "MODELS", "OPERATIONS", "PAGE", "block", "compared", "run"]

PAGE = Path(__file__).parent.parent.parent / "notebooks" / "parity.md"
X = torch.linspace(-1, 1, 2 * 3 * 8 * 8).reshape(2, 3, 8, 8)
Log = list[Any]
Operation = Callable[[nn.Module, Log], Any]


# ---------------------------------------------------------------------------------------------
# Models that become the same: a flat one of lazy layers, and a composite one that is lazy as a whole


def _network(conv: nn.Module, norm: nn.Module, head: nn.Module) -> nn.Sequential:
    parts = [("conv", conv), ("norm", norm), ("flat", nn.Flatten()), ("head", head)]
    return nn.Sequential(OrderedDict(parts))


class Network(nn.Module):
    """The same layers in a class of its own."""

    def __init__(self, in_channels: int, flat_features: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.flat = nn.Flatten()
        self.head = nn.Linear(flat_features, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.flat(self.norm(self.conv(x))))
        return out


LazyNetwork = lazify(Network, exclude=["in_channels", "flat_features"])
LazyConv2d, LazyBatchNorm2d, LazyLinear = lazify(nn.Conv2d), lazify(nn.BatchNorm2d), lazify(nn.Linear)

MODELS: dict[str, Callable[[], nn.Module]] = {
    "eager": lambda: _network(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(144, 2)),
    "torch's Lazy*": lambda: _network(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.LazyLinear(2)),
    "lazify": lambda: _network(LazyConv2d(4, 3), LazyBatchNorm2d(), LazyLinear(2)),
    "lazify, one class": LazyNetwork,
    "eager, one class": lambda: Network(3, 144),
}
#: The columns of the table. The last is compared with an eager model of its own class.
COLUMNS = ("eager", "torch's Lazy*", "lazify", "lazify, one class")


def _eager(kind: str) -> str:
    return "eager, one class" if kind.endswith("one class") else "eager"


# ---------------------------------------------------------------------------------------------
# Operations


def _fill(module: nn.Module) -> None:
    with torch.no_grad():
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            tensor.fill_(1)


def _checkpoint() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return MODELS["eager"]().state_dict()


def _trains(make: Callable[[nn.Module], torch.optim.Optimizer]) -> Operation:
    def operation(model: nn.Module, log: Log) -> Any:
        optimizer = make(model)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
        torch.manual_seed(0)
        for _ in range(3):
            optimizer.zero_grad()
            model(X).square().sum().backward()
            log.append(clip_grad_norm_(model.parameters(), 1.0).item())
            optimizer.step()
            scheduler.step()
        return [len(group["params"]) for group in optimizer.param_groups]

    return operation


def _averages(model: nn.Module, log: Log) -> Any:
    average = AveragedModel(model)
    torch.manual_seed(0)
    model(X)
    average.update_parameters(model)
    with torch.no_grad():
        _fill(model)
    average.update_parameters(model)
    return list(average.parameters())


def _groups(model: nn.Module) -> torch.optim.Optimizer:
    named = dict(model.named_parameters())
    decay = [p for p in named.values() if p.dim() > 1]
    return torch.optim.AdamW([{"params": decay}, {"params": [p for p in named.values() if p.dim() < 2], "lr": 0.1}])


def _added_group(model: nn.Module) -> torch.optim.Optimizer:
    optimizer = torch.optim.SGD(model.get_submodule("conv").parameters(), lr=0.1, momentum=0.9)
    optimizer.add_param_group({"params": model.get_submodule("head").parameters()})
    return optimizer


def _through_pickle(model: nn.Module, log: Log) -> Any:
    optimizer = torch.optim.Adam(model.parameters())
    twin, its = pickle.loads(pickle.dumps((model, optimizer)))
    torch.manual_seed(0)
    twin(X).sum().backward()
    its.step()
    return [p.grad is not None for p in its.param_groups[0]["params"]]


def _through_file(model: nn.Module, log: Log) -> Any:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    twin = torch.load(file, weights_only=False)
    torch.manual_seed(0)
    return twin(X)


def _copied(model: nn.Module, log: Log) -> Any:
    twin = copy.deepcopy(model)
    torch.manual_seed(0)
    out = twin(X)
    return out, twin.state_dict()


def _compiled(model: nn.Module, log: Log) -> Any:
    torch._dynamo.reset()
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.compile(model, fullgraph=True, backend="eager")(X)


def _hooked(model: nn.Module, log: Log) -> Any:
    norm = model.get_submodule("norm")
    handle = norm.register_forward_hook(lambda *_: log.append("removed"))
    norm.register_forward_hook(lambda module, args, output: log.append(("forward", type(module).__name__)))
    norm.register_forward_pre_hook(lambda module, args: log.append("pre"))
    norm.register_full_backward_hook(lambda *_: log.append("backward"))
    handle.remove()
    torch.manual_seed(0)
    model(X).sum().backward()


def _attached(model: nn.Module, log: Log) -> Any:
    head = model.get_submodule("head")
    head.register_buffer("count", torch.zeros(3))
    head.register_parameter("extra", nn.Parameter(torch.ones(2)))
    head.add_module("inner", nn.Linear(2, 2).to(torch.float64))
    nn.init.ones_(head.inner.weight)
    nn.init.ones_(head.inner.bias)
    head.note = "mine"
    return [name for name, _ in model.named_parameters()], [name for name, _ in model.named_buffers()]


def _frozen_norms(model: nn.Module, log: Log) -> Any:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
            module.momentum = 0.5
            module.weight.requires_grad = False


#: Groups of processes that are over. torch 2.6 can wait for itself in the destructor of a group that has just worked.
_OLD_GROUPS: list[Any] = []


def _one_process(action: Callable[[nn.Module], Any]) -> Operation:
    def operation(model: nn.Module, log: Log) -> Any:
        os.environ.update(MASTER_ADDR="localhost", MASTER_PORT="29533", RANK="0", WORLD_SIZE="1")
        torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
        try:
            action(model)
        finally:
            _OLD_GROUPS.append(torch.distributed.group.WORLD)
            torch.distributed.destroy_process_group()

    return operation


def _loads(**options: Any) -> Operation:
    def operation(model: nn.Module, log: Log) -> Any:
        before = list(model.parameters())
        keys = model.load_state_dict(_checkpoint(), **options)
        same = [a is b for a, b in zip(before, model.parameters(), strict=True)]
        return list(keys.missing_keys), list(keys.unexpected_keys), same, model.state_dict()

    return operation


def _loads_some(model: nn.Module, log: Log) -> Any:
    some = {name: each for name, each in _checkpoint().items() if not name.startswith("head")}
    keys = model.load_state_dict(some, strict=False)
    model.get_submodule("head").apply(_fill)
    return list(keys.missing_keys), list(keys.unexpected_keys)


def _functional(model: nn.Module, log: Log) -> Any:
    state = _checkpoint()
    torch.manual_seed(0)
    return torch.func.functional_call(model, state, (X,))


def _names(model: nn.Module, log: Log) -> Any:
    parameters = [(n, p.requires_grad, p.dtype) for n, p in model.named_parameters()]
    buffers = [(n, b.requires_grad) for n, b in model.named_buffers()]
    modules = [n for n, _ in model.named_modules()]
    isinstances = [[isinstance(m, c) for c in (nn.Conv2d, nn.BatchNorm2d, nn.Linear)] for m in model.modules()]
    return parameters, buffers, modules, isinstances, list(model.state_dict()), [n for n, _ in model.named_children()]


def _identities(model: nn.Module, log: Log) -> Any:
    before = [*model.parameters(), *model.buffers()]
    torch.manual_seed(0)
    model(X)
    return [a is b for a, b in zip(before, [*model.parameters(), *model.buffers()], strict=True)]


#: What may be done before the first call. The name says what the table shows.
OPERATIONS: dict[str, Operation] = {
    "`named_parameters()`, `buffers()`, `modules()`, `state_dict()` keys": _names,
    "parameters and buffers keep their identity": _identities,
    "`get_parameter`, `get_buffer`, `get_submodule`": lambda m, log: [
        m.get_submodule("conv") is dict(m.named_children())["conv"],
        m.get_parameter("head.weight") is dict(m.named_parameters())["head.weight"],
        m.get_buffer("norm.running_mean") is dict(m.named_buffers())["norm.running_mean"],
    ],
    "attributes that do not depend on the input": lambda m, log: [
        (m.conv.stride, m.conv.transposed, m.conv.output_padding),
        (m.norm.eps, m.norm.momentum, m.head.out_features),
    ],
    "`SGD`, clipping, scheduler": _trains(lambda m: torch.optim.SGD(m.parameters(), lr=0.1)),
    "`Adam(foreach=True)`": _trains(lambda m: torch.optim.Adam(m.parameters(), foreach=True)),
    "`AdamW(fused=True)`": _trains(lambda m: torch.optim.AdamW(m.parameters(), fused=True)),
    "groups by number of dimensions": _trains(_groups),
    "`add_param_group`": _trains(_added_group),
    "`AveragedModel`": _averages,
    "`train()`, `eval()`": lambda m, log: m.train(False).training,
    "`requires_grad_(False)`": lambda m, log: [p.requires_grad for p in m.requires_grad_(False).parameters()],
    "`half()`, `double()`, `to(dtype)`": lambda m, log: [
        p.dtype for p in m.half().double().to(torch.float32).double().float().parameters()
    ],
    "`to_empty`": lambda m, log: [m.to_empty(device="cpu") is m, m.apply(_fill) is m],
    "`apply(init)`": lambda m, log: m.apply(_fill) is m,
    "`zero_grad()`": lambda m, log: m.zero_grad(),
    "freeze what `modules()` finds": _frozen_norms,
    "hooks and handles": _hooked,
    "`register_buffer`, `register_parameter`, `add_module`, attributes": _attached,
    "`set_submodule`": lambda m, log: m.set_submodule("flat", nn.Flatten(1)),
    "`load_state_dict`": _loads(),
    "`load_state_dict(assign=True)`": _loads(assign=True),
    "`load_state_dict(strict=False)`, a part": _loads_some,
    "`load_state_dict` of another architecture": lambda m, log: m.load_state_dict(
        {**_checkpoint(), "conv.weight": torch.ones(5, 3, 3, 3)}
    ),
    "`copy.deepcopy`": _copied,
    "`pickle`, with its optimizer": _through_pickle,
    "`torch.save`, `torch.load`": _through_file,
    "`torch.compile(fullgraph=True)`": _compiled,
    "`torch.func.functional_call`": _functional,
    "`share_memory()`": lambda m, log: m.share_memory() is m,
    "`torch.jit.script`": lambda m, log: torch.jit.script(m)(X).shape,
    "`parameters_to_vector`": lambda m, log: parameters_to_vector(m.parameters()).shape,
    "counting: `p.numel()`": lambda m, log: sum(p.numel() for p in m.parameters()),
    "`weight_norm`": lambda m, log: weight_norm(m.get_submodule("head")).out_features,
    "`spectral_norm`": lambda m, log: spectral_norm(m.get_submodule("head")).out_features,
    "`parametrizations.orthogonal`": lambda m, log: parametrizations.orthogonal(m.get_submodule("head")).out_features,
    "`prune.l1_unstructured`": lambda m, log: prune.l1_unstructured(m.get_submodule("head"), "weight", 0.5).in_features,
    "`apply(prune)`": lambda m, log: (
        m.apply(lambda each: prune.l1_unstructured(each, "weight", 0.5) if isinstance(each, nn.Linear) else None) is m
    ),
    "`DistributedDataParallel`": _one_process(lambda m: DistributedDataParallel(m)),
    "`fully_shard`": _one_process(lambda m: torch.distributed.fsdp.fully_shard(m, mesh=init_device_mesh("cpu", (1,)))),
}
if not hasattr(nn.Module, "set_submodule"):  # before 2.5
    del OPERATIONS["`set_submodule`"]
if not hasattr(torch.distributed.fsdp, "fully_shard"):  # before 2.6
    del OPERATIONS["`fully_shard`"]


# ---------------------------------------------------------------------------------------------
# Running and comparing


def _observable(value: Any) -> Any:
    """Something that compares: tensors by their values."""
    if isinstance(value, torch.Tensor):
        return ("tensor", tuple(value.shape), str(value.dtype), value.requires_grad, value.detach().tolist())
    if isinstance(value, (list, tuple)):
        return [_observable(each) for each in value]
    if isinstance(value, dict):
        return {name: _observable(each) for name, each in value.items()}
    return value


def run(kind: str, operation: Operation) -> tuple[str, Any]:
    """`("ok", all that is observable)`, or `("error", the exception)`."""
    log: Log = []
    torch.manual_seed(0)
    model = MODELS[kind]()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's of its lazy modules, and of TorchScript
            seen = _observable(operation(model, log))
            if any(type(each).__name__.startswith("Lazy") for each in model.modules()):
                torch.manual_seed(0)
            out = model(X)
    except Exception as error:
        return "error", error
    modules = [(n, type(m).__name__, m.training) for n, m in model.named_modules()]
    state = [(n, _observable(t)) for n, t in (*model.named_parameters(), *model.named_buffers())]
    momenta = [m.momentum for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    return "ok", (seen, log, _observable(out), modules, state, momenta)


def compared(kind: str, name: str) -> str:
    """What the table says of one kind of model."""
    operation = OPERATIONS[name]
    reference, expected = run(_eager(kind), operation)
    outcome, seen = (reference, expected) if kind == "eager" else run(kind, operation)
    if outcome == "error":
        return type(seen).__name__
    if reference == "error":
        return "accepted"
    return ("works" if kind == "eager" else "same") if seen == expected else "**differs**"


def table() -> str:
    width = max(map(len, OPERATIONS))
    lines = [f"| {'before the first call':<{width}} | {' | '.join(f'{kind:<18}' for kind in COLUMNS)} |"]
    lines.append(f"| {'-' * width} | {' | '.join('-' * 18 for _ in COLUMNS)} |")
    for name in OPERATIONS:
        lines.append(f"| {name:<{width}} | {' | '.join(f'{compared(kind, name):<18}' for kind in COLUMNS)} |")
    return "\n".join(lines)


BLOCK = re.compile(r"(<!-- parity: python tests/helpers/parity.py --write -->\n)(.*?)(\n<!-- end -->)", re.S)


def block() -> str:
    """The table on the page."""
    found = BLOCK.search(PAGE.read_text())
    assert found is not None
    return found[2]


if __name__ == "__main__":
    made = table()
    print(made)
    if "--write" in sys.argv[1:]:
        PAGE.write_text(BLOCK.sub(lambda found: found[1] + made + found[3], PAGE.read_text()))
    with suppress(Exception):
        torch._dynamo.reset()
