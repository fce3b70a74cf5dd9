"""Nobody hears of a trial run: modes, hooks, checkpointing, finalizers, warnings and loggers of the surroundings."""

from __future__ import annotations

import gc
import logging
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from helpers.modules import Searched, searched
from lazify import axis, lazify, materialize
from lazify import nn as lnn
from lazify._isolation.observers import in_trial
from lazify._torch import default_device


class Wrong(Searched):
    """Its name has a convention, axis(1), that does not hold."""

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels)


@pytest.fixture
def x() -> Tensor:
    return torch.ones(2, 3, 5, requires_grad=True)


class Operations(TorchDispatchMode):
    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


class Functions(TorchFunctionMode):
    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(getattr(func, "__name__", str(func)))
        return func(*args, **(kwargs or {}))


def test_modes_see_one_call(x: Tensor) -> None:
    for mode in (Operations, Functions):
        seen: dict[str, list[str]] = {}
        for name, module in (("lazy", searched()), ("wrong", lazify(Wrong)()), ("eager", Searched(5))):
            seen[name] = []
            with mode(seen[name]):
                module(x)
        names = ("aten.addmm.default", "linear")
        linear = {name: [each for each in operations if each in names] for name, operations in seen.items()}
        assert len(linear["eager"]) == 1
        assert linear["lazy"] == linear["wrong"] == linear["eager"]


def test_flops_are_those_of_one_call(x: Tensor) -> None:
    flops = []
    for module in (searched(), lazify(Wrong)(), Searched(5)):
        with FlopCounterMode(display=False) as counter:
            module(x)
        flops.append(counter.get_total_flops())
    assert len(set(flops)) == 1


def test_saved_tensors_are_those_of_one_call(x: Tensor) -> None:
    saved: list[list[str]] = []
    for module in (searched(), lazify(Wrong)(), Searched(5)):
        saved.append([])
        pack: Callable[[Tensor], Tensor] = lambda t: (saved[-1].append(type(t).__name__), t)[1]  # type: ignore[func-returns-value]  # noqa: E731
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            module(x)
    assert saved[0] == saved[1] == saved[2]


@pytest.mark.filterwarnings("ignore:.*torch.cpu.amp.autocast:FutureWarning")  # of torch's own use, before 2.5
@pytest.mark.parametrize("reentrant", [False, True])
def test_a_first_call_that_is_recomputed(reentrant: bool, x: Tensor) -> None:
    """The gradient is that of the numbers that the first run dropped."""

    class Dropping(Searched):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.dropout(self.fc(x), 0.5)

    for module in (searched(Dropping), lnn.Sequential(lnn.LazyLinear(4), nn.Dropout(0.5))):
        x.grad = None
        y = checkpoint(module, x, use_reentrant=reentrant)
        y.sum().backward()
        (weight,) = [p for p in module.parameters() if p.dim() == 2]
        torch.testing.assert_close(x.grad, ((y != 0) * 2.0) @ weight.detach())


class _OwnCall(Searched):
    def __call__(self, x: Tensor) -> Tensor:
        return super().__call__(torch.cat([x, x], -1))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(self.fc(x), 0.5)


class _Hooked(Searched):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(self.fc(x), 0.5)


@pytest.mark.filterwarnings("ignore:.*torch.cpu.amp.autocast:FutureWarning")  # of torch's own use, before 2.5
@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("cls", [_OwnCall, _Hooked])
def test_a_recomputed_first_call_whose_arguments_change_on_the_way(cls: Any, reentrant: bool) -> None:
    module = lazify(cls, exclude={"zzz": axis(-1)})()
    if cls is _Hooked:
        module.register_forward_pre_hook(lambda _, args: (torch.cat([args[0], nn.functional.dropout(args[0])], -1),))
    x = torch.ones(6, 5, requires_grad=True)
    y = checkpoint(module, x, use_reentrant=reentrant)
    y.sum().backward()
    once, again = (((y != 0) * 2.0) @ module.fc.weight.detach()).split(5, -1)
    if cls is _OwnCall:
        torch.testing.assert_close(x.grad, once + again)
    else:  # what the hook dropped was dropped in both runs
        assert x.grad is not None
        torch.testing.assert_close(x.grad, torch.where(torch.isclose(x.grad, once), once, once + 2 * again))


@pytest.fixture
def global_hooks() -> Iterator[list[str]]:
    seen: list[str] = []
    handles = [
        torch_module.register_module_forward_pre_hook(lambda m, args: seen.append("pre")),
        torch_module.register_module_forward_hook(lambda m, args, out: seen.append(type(m).__name__)),
        torch_module.register_module_full_backward_hook(lambda m, i, o: seen.append("backward")),
        torch_module.register_module_parameter_registration_hook(lambda m, n, p: seen.append(n)),
        torch_module.register_module_module_registration_hook(lambda m, n, p: seen.append(n)),
        torch_module.register_module_buffer_registration_hook(lambda m, n, p: seen.append(n)),
    ]
    yield seen
    for handle in handles:
        handle.remove()


def test_global_hooks_see_one_construction_and_one_call(global_hooks: list[str], x: Tensor) -> None:
    def seen_by(make: Callable[[], nn.Module], *, preview: bool = False) -> list[str]:
        global_hooks.clear()
        module = make()
        if preview:
            list(module.parameters())
        module(x).sum().backward()
        return list(global_hooks)

    eager = seen_by(lambda: Searched(5))
    assert eager.count("weight") == 1
    for lazily in (seen_by(searched), seen_by(searched, preview=True)):
        assert sorted(each for each in lazily if each != "pre") == sorted(each for each in eager if each != "pre")
    kinds = (torch_module._global_forward_hooks, torch_module._global_backward_hooks)
    before = [list(hooks.items()) for hooks in kinds]
    materialize(searched(), x)
    assert before == [list(hooks.items()) for hooks in kinds]


def test_hooks_of_given_modules(x: Tensor) -> None:
    class Layer(Searched):
        def __init__(self, zzz: int, body: nn.Module) -> None:
            super().__init__(zzz)
            self.body = body

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(self.body(x))

    seen: list[Any] = []
    body = nn.Linear(5, 5)
    body.register_forward_pre_hook(lambda m, args: seen.append(type(args[0])))
    body.register_full_backward_hook(lambda m, i, o: seen.append("backward"))
    module = searched(Layer, body)
    module.register_forward_hook(lambda m, args, out: seen.append("own"))
    list(module.parameters())
    module(x).sum().backward()
    assert len(seen) == 3
    assert seen[1:] == ["own", "backward"]


def test_no_finalizer_of_a_throw_away_module_runs(x: Tensor) -> None:
    ended: list[str] = []

    class Part:
        def __del__(self) -> None:
            ended.append("part")

    class Layer(Searched):
        def __init__(self, zzz: int) -> None:
            super().__init__(zzz)
            self.part = Part()
            weakref.finalize(self, ended.append, "finalize")
            if zzz % 5:
                raise ValueError("a multiple of 5")

        def __del__(self) -> None:
            ended.append("module")

    module = searched(Layer)
    list(module.parameters())
    module(x)
    materialize(searched(Layer), x)
    gc.collect()
    first = len(ended)  # the materialized one has gone
    assert sorted(ended) == ["finalize", "module", "part"]
    del module
    gc.collect()
    assert len(ended) == 2 * first


@pytest.mark.parametrize("enabled", [True, False])
def test_no_garbage_of_earlier_code_is_collected_in_a_trial(x: Tensor, enabled: bool) -> None:
    generations: set[int] = set()

    class Allocating(Searched):
        def __init__(self, zzz: int) -> None:
            super().__init__(zzz)
            self.many: list[list[int]] = [[] for _ in range(20_000)]

    def collecting(phase: str, info: dict[str, int]) -> None:
        if in_trial():
            generations.add(info["generation"])

    searched()(x)  # imports of torch's do not count
    module = searched(Allocating)
    gc.callbacks.append(collecting)
    try:
        (gc.enable if enabled else gc.disable)()
        module(x)
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
        gc.callbacks.remove(collecting)
    assert generations == {0}  # what the trial runs made


def test_a_failed_search_keeps_no_module_alive() -> None:
    made: list[weakref.ref[nn.Module]] = []
    keep: list[Any] = []

    class Layer(Searched):
        def forward(self, x: Tensor) -> Tensor:
            super().forward(x)
            raise ValueError("never")

    class Watched(Layer):
        def __init__(self, zzz: int) -> None:
            super().__init__(zzz)
            _MADE.append(weakref.ref(self))

    with pytest.raises(Exception, match="never") as error:
        searched(Watched)(torch.ones(2, 5))
    keep.append(error.value)
    gc.collect()
    assert not any(ref() for ref in _MADE)
    assert not made


_MADE: list[weakref.ref[nn.Module]] = []


def test_warnings_and_log_lines(x: Tensor, caplog: pytest.LogCaptureFixture) -> None:
    class Layer(Searched):
        def forward(self, x: Tensor) -> Tensor:
            warnings.warn("seen", UserWarning, stacklevel=1)
            return super().forward(x)

    before = list(warnings.filters)
    with warnings.catch_warnings(record=True) as heard, caplog.at_level(logging.DEBUG, "torch._subclasses"):
        warnings.simplefilter("always")
        searched(Layer)(x)
    assert [str(each.message) for each in heard] == ["seen"]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert list(warnings.filters) == before


def test_settings_that_code_changes(x: Tensor) -> None:
    class Layer(Searched):
        def __init__(self, zzz: int) -> None:
            super().__init__(zzz)
            torch.set_default_dtype(torch.float64)
            torch.set_default_device("meta")
            torch.set_grad_enabled(False)
            warnings.simplefilter("ignore")
            torch.use_deterministic_algorithms(True)

    before = list(warnings.filters)
    list(searched(Layer).parameters())
    assert torch.get_default_dtype() == torch.float32
    assert default_device().type == torch.empty(1).device.type == "cpu"
    assert torch.is_grad_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    assert list(warnings.filters) == before


def test_inside_transforms_and_contexts(x: Tensor) -> None:
    assert torch.func.vmap(searched())(x).shape == (2, 3, 4)
    assert torch.func.grad(lambda t: searched()(t).sum())(torch.ones(5)).shape == (5,)
    with torch.inference_mode():
        module = searched()
        module(x)
    assert all(p.requires_grad and not p.is_inference() for p in module.parameters())
    with torch.device("cpu"), torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert searched()(x).dtype == torch.bfloat16


def test_gradients_inside_a_forward(x: Tensor) -> None:
    class Layer(Searched):
        def forward(self, x: Tensor) -> Tensor:
            return torch.autograd.grad(self.fc(x).tanh().sum(), x, create_graph=True)[0]

    class Jacobian(Searched):
        def forward(self, x: Tensor) -> Tensor:
            return torch.func.vmap(torch.func.jacrev(self.fc))(x.flatten(0, 1))  # type: ignore[no-any-return]

    assert searched(Layer)(x).shape == x.shape
    assert materialize(searched(Layer), x)(x).shape == x.shape
    assert searched(Jacobian)(x).shape == (6, 4, 5)
    assert x.grad is None
