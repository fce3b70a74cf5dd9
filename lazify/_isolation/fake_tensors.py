"""Fake tensors for trial runs: shapes without values, made of every real tensor that a run meets.

Nothing real is computed with and no random number is drawn. Small tensors whose values are certain (`torch.arange(4)`,
`torch.tensor([1, 2])`, whole numbers in the arguments) keep them beside the fake, so that code that reads them works.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from lazify._nested import tensors
from lazify._torch import (
    FakeMode,
    FakeTensor,
    FunctionMode,
    is_transformed,
    no_dispatch,
    no_torch_function,
    unset_fake_mode,
)

__all__ = ["FailureRecorder", "TrialFunctions", "TrialMode"]

#: Tensors with more elements than this have no known values.
MOST_KNOWN = 4096
#: Operations inside operations: those on sparse fakes call each other without end.
MOST_NESTED = 40
#: Values are not computed from known ones where the result might have more elements than this.
MOST_COMPUTED = 2**20

#: Types of most arguments that hold no tensor.
_PLAIN = frozenset({int, float, bool, str, type(None), torch.dtype, torch.device})

#: Operations that make tensors of certain values.
_CERTAIN = frozenset(
    "aten::" + name
    for name in """
        arange linspace logspace zeros ones full eye scalar_tensor tril_indices triu_indices zeros_like ones_like
        full_like new_zeros new_ones new_full
    """.split()
)


#: How the device of a fake is asked for.
_DEVICE = torch.ops.prim.device.default
#: Operations that fill a tensor: on a fake they change nothing.
_FILLING = frozenset(
    "aten::" + name
    for name in "uniform_ normal_ zero_ fill_ random_ bernoulli_ exponential_ log_normal_ cauchy_ geometric_".split()
)

#: Operations that make a tensor of whatever the memory held before: its values are never known.
_UNSET = frozenset("aten::" + name for name in "empty_like new_empty new_empty_strided".split())


class TrialMode(FakeMode):
    """Torch's mode of fake tensors, in which real tensors are neither computed with nor changed.

    Attributes:
        fakes: id of a real tensor -> (the tensor, the fake that stands for it in this run).
        meta_device: where tensors of the meta device are taken to be.
        outcomes: for the first call of equal modules, which is made once; None: each is made.
        nested: how many operations are under way, one inside the other.
    """

    def __init__(
        self, device: torch.device | None = None, meta_device: torch.device | None = None, outcomes: Any = None
    ) -> None:
        super().__init__()
        self.fakes: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.outcomes = outcomes
        self.nested = 0
        self.device = device
        self.meta_device = torch.device("cpu") if meta_device is None else meta_device

    def may_turn_const(self, t: torch.Tensor) -> bool:
        """How torch asks whether values are to be kept beside a fake."""
        return t.numel() <= MOST_KNOWN and t.layout is torch.strided and t.device.type != "meta"

    # from real to fake

    def fake_of(self, tensor: torch.Tensor) -> torch.Tensor:
        """The fake that stands for a real tensor, the same at each call; of what torch cannot fake, the tensor."""
        if type(tensor) is FakeTensor and tensor.fake_mode is self:
            return tensor
        if (pair := self.fakes.get(id(tensor))) is None:
            if is_lazy(tensor) or not _can_be_faked(tensor):
                return tensor
            with no_torch_function(), self:
                pair = self.fakes[id(tensor)] = (tensor, self._made(tensor))
        return pair[1]

    def _made(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.layout is not torch.strided:
            with unset_fake_mode():  # else this very tensor would have to be faked to make its fake
                plain = tensor.detach()
            return self.fake_tensor_converter.from_real_tensor(self, plain)
        if _is_certain(tensor):
            with unset_fake_mode():
                values = tensor.detach().clone()
            return self.fake_tensor_converter.from_real_tensor(self, values, make_constant=True)
        device = self.meta_device if tensor.device.type == "meta" else self.device or tensor.device
        fake = torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device=device)
        if isinstance(tensor, nn.Parameter):
            return nn.Parameter(fake, tensor.requires_grad)
        if tensor.requires_grad:
            fake.requires_grad_()
            if not tensor.is_leaf:
                with torch.enable_grad():
                    fake = fake.clone()
        return fake

    def faked(self, value: Any) -> Any:
        """`value`, an argument of an operation, with fakes in the places of real tensors."""
        if type(value) is FakeTensor or type(value) in _PLAIN:
            return value if type(value) is not FakeTensor or value.fake_mode is self else self.fake_of(value)
        if isinstance(value, torch.Tensor):
            return value if is_transformed(value) else self.fake_of(value)  # `vmap` and the like inside the run
        if type(value) in (list, tuple):
            return type(value)([self.faked(each) for each in value])
        if type(value) is dict:
            return {key: self.faked(each) for key, each in value.items()}
        return None if isinstance(value, torch.Generator) else value

    def values_of(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """A real tensor with the values that `tensor` has in this run, if they are known."""
        fake: Any = self.fake_of(tensor)
        if (constant := getattr(fake, "constant", None)) is not None:
            return constant.clone()  # type: ignore[no-any-return]
        is_real = type(tensor) is not FakeTensor and not (is_lazy(tensor) or tensor.is_meta or is_transformed(tensor))
        return tensor.detach().clone() if is_real and fake._version == 0 else None

    # operations

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is _DEVICE and type(args[0]) is FakeTensor:  # autograd asks all the time
            return args[0].fake_device
        self.nested += 1
        try:
            if self.nested > MOST_NESTED:  # Python's own limit may be reached in C++ code, which then aborts
                raise NotImplementedError(f"no fake implementation of {func} ends")
            return super().__torch_dispatch__(func, types, args, kwargs)
        finally:
            self.nested -= 1

    def dispatch(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Every operation of a run comes here, with what is real in its arguments."""
        kwargs = dict(kwargs or {})
        with no_torch_function():
            if func not in self.lift_fns:  # `torch.tensor([...])`: its values are taken over by torch itself
                args, kwargs = self.faked(tuple(args)), self.faked(kwargs)
                if args and is_lazy(args[0]):  # a conversion: of the data, as not every torch knows the class
                    args = (self.fake_of(args[0].data), *args[1:])
                if func.name().partition(".")[0] in _FILLING and _is_all_unknown([args, kwargs]):
                    return args[0]  # most of what constructors do
                if func.name().partition(".")[0] in _UNSET or _result_may_be_large(func, args):
                    args = tuple(_without_values(each) for each in args)
            made = super().dispatch(func, types, args, kwargs)
            if func.name().partition(".")[0] in _CERTAIN and type(made) is FakeTensor and self._may_be_known(made):
                return self._with_values(func, args, kwargs)
            return made

    def _may_be_known(self, made: Any) -> bool:
        return made.device.type == "cpu" and self.may_turn_const(made) and made.constant is None

    def _with_values(self, func: Any, args: Any, kwargs: Any) -> Any:
        with no_dispatch():
            like = [
                torch.empty(each.shape, dtype=each.dtype) if isinstance(each, torch.Tensor) else each for each in args
            ]
            real = func(*like, **kwargs)
        return self.fake_tensor_converter.from_real_tensor(self, real, make_constant=True)


def _is_all_unknown(arguments: Any) -> bool:
    """Whether the only tensor in the arguments of an operation is a fake of no known values."""
    (first, *more) = tensors(arguments)
    return not more and type(first) is FakeTensor and first.constant is None


def _can_be_faked(tensor: torch.Tensor) -> bool:
    dispatch = getattr(type(tensor), "__torch_dispatch__", None)
    plain = type(tensor) is FakeTensor or dispatch is getattr(torch.Tensor, "__torch_dispatch__", None)
    return plain and not tensor.is_quantized and not tensor.is_nested


def _is_certain(tensor: torch.Tensor) -> bool:
    """Whether code may read its values: indices, lengths, masks, a single number."""
    if type(tensor) is not torch.Tensor or tensor.device.type != "cpu" or tensor.requires_grad:
        return False
    few = 1 if tensor.is_floating_point() or tensor.is_complex() else MOST_KNOWN
    return tensor.numel() <= few and not is_transformed(tensor)


def _result_may_be_large(func: Any, args: Any) -> bool:
    known = [each.numel() for each in args if type(each) is FakeTensor and each.constant is not None]
    return len(known) > 1 and math.prod(known) > MOST_COMPUTED and not func._schema.is_mutable


def _without_values(value: Any) -> Any:
    if type(value) is FakeTensor and value.constant is not None:
        return torch.empty_strided(value.size(), value.stride(), dtype=value.dtype, device=value.device)
    return value


# ---------------------------------------------------------------------------------------------
# Calls of torch's functions


class FailureRecorder:
    """Counts the operations that pass, keeps the sizes that the failing one saw."""

    def __init__(self) -> None:
        self.completed = 0
        self.failed: tuple[tuple[int, ...], str] = ((), "")

    def run(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        try:
            result = function(*args, **kwargs)
        except Exception:
            if not self.failed[1]:  # the innermost is the first to know
                self.failed = (tuple(_sizes((args, kwargs))), getattr(function, "__name__", str(function)))
            raise
        if next(tensors((result, args, kwargs)), None) is not None:
            self.completed += 1  # not a switch of modes, as at the end of a `with torch.no_grad():` that raises
            self.failed = ((), "")
        return result


class TrialFunctions(FunctionMode):
    """Sees every call of a torch function in a trial run, before autograd does.

    Args:
        mode: that of a run on fakes, which then stand for real tensors from here on; None for a run on real tensors.
        recorder: is told of each call.
    """

    def __init__(self, mode: TrialMode | None, recorder: FailureRecorder | None = None) -> None:
        super().__init__()
        self.mode, self.recorder = mode, recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.Tensor.__deepcopy__:
            with no_torch_function():  # nor another such mode around this one
                return _copied(args[0], args[1], self.mode)
        if self.mode is not None:
            with no_torch_function():
                special = self._special(func, args, kwargs)
            if special is not NotImplemented:
                return special
            args, kwargs = self.mode.faked(tuple(args)), self.mode.faked(kwargs)
        return func(*args, **kwargs) if self.recorder is None else self.recorder.run(func, args, kwargs)

    def _special(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Reading values, and how torch's own lazy parameters come into being; NotImplemented for anything else."""
        assert self.mode is not None
        if (func in _READING and type(args[0]) is not FakeTensor) or func in (
            torch.Tensor.numpy,
            torch.Tensor.__array__,
        ):
            with unset_fake_mode():
                values = self.mode.values_of(args[0])
                return NotImplemented if values is None else func(values, *args[1:], **kwargs)
        if func is torch.empty and args == (0,) and sys._getframe(2).f_code in _UNINITIALIZED:
            with unset_fake_mode():
                return torch.empty(0, dtype=kwargs.get("dtype"))
        if getattr(func, "__self__", None) is torch.Tensor.data and is_lazy(args[0]):
            if func.__name__ == "__get__":
                return self.mode.faked(torch.empty(0, dtype=torch.Tensor.dtype.__get__(args[0])))  # type: ignore[attr-defined]
            value = self.mode.fake_of(args[1])
            is_parameter = isinstance(args[0], nn.Parameter)
            value = nn.Parameter(value.detach(), args[0].requires_grad) if is_parameter else value
            self.mode.fakes[id(args[0])] = (args[0], value)
            return None
        return NotImplemented


_READING = frozenset(
    getattr(torch.Tensor, name) for name in "tolist item __bool__ __int__ __float__ __index__ numpy __array__".split()
)
_UNINITIALIZED = frozenset(cls.__new__.__code__ for cls in (nn.UninitializedParameter, nn.UninitializedBuffer))


def _copied(tensor: torch.Tensor, memo: dict[int, Any], mode: TrialMode | None) -> torch.Tensor:
    """What `copy.deepcopy` makes of a tensor in a trial run."""
    if id(tensor) in memo:
        return memo[id(tensor)]  # type: ignore[no-any-return]
    if not tensor.is_leaf and type(tensor) is FakeTensor:
        raise RuntimeError("Only Tensors created explicitly by the user support the deepcopy protocol at the moment.")
    if mode is not None and tensor.dtype is torch.uint8 and _is_state_of_generator():
        with unset_fake_mode():
            return tensor.clone()
    if mode is None and is_lazy(tensor):
        made: Any = type(tensor)
        twin: torch.Tensor = made(tensor.requires_grad, device=tensor.device, dtype=tensor.dtype)
    elif mode is None:
        with torch.enable_grad():
            twin = tensor.detach().clone().requires_grad_(tensor.requires_grad)
            twin = twin if tensor.is_leaf else twin.clone()
    elif type(tensor) is FakeTensor and tensor.fake_mode is mode:
        twin = tensor.detach().clone()
        twin = nn.Parameter(twin) if isinstance(tensor, nn.Parameter) else twin
        twin.requires_grad_(tensor.requires_grad)
    else:
        twin = mode.fake_of(tensor)
    memo[id(tensor)] = twin
    return twin


def _is_state_of_generator() -> bool:
    """Whether `copy.deepcopy` is at a random generator, which has its state from real tensors only."""
    frame: FrameType | None = sys._getframe(1)
    for _ in range(16):
        if frame is None:
            return False
        if frame.f_code.co_name == "_reconstruct" and isinstance(frame.f_locals.get("x"), torch.Generator):
            return True
        frame = frame.f_back
    return False


# ---------------------------------------------------------------------------------------------
# Arguments of operations


def _sizes(value: Any) -> Iterator[int]:
    """Every size in the arguments of an operation: dimensions and elements of tensors and of shapes, whole numbers."""
    if isinstance(value, torch.Tensor):
        if value.layout is torch.strided and not is_lazy(value):
            yield from value.shape
            yield value.numel()
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _sizes(each)
        if len(value) > 2 and all(type(each) is int for each in value):
            yield abs(math.prod(value))
    elif isinstance(value, dict):
        for each in value.values():
            yield from _sizes(each)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield value
