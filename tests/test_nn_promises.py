"""What torch's own lazy classes promise, `lazify.nn` keeps: each test here runs for both, with one body.

Where lazify's do something else on purpose it stands in `DIFFERENCES`, and a test shows both sides of every line.
"""

from __future__ import annotations

import copy
import inspect
import io
import itertools
import pickle
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn
from torch.nn import Module
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import Parameter, UninitializedBuffer, UninitializedParameter
from torch.nn.parameter import is_lazy as is_uninitialized
from torch.nn.utils import clip_grad_norm_, parametrizations, spectral_norm, weight_norm
from twins import assert_twins

import lazify as toolkit
from lazify import nn as lazifys
from lazify.errors import DefinitionError, InferenceError, NotMaterializedError

torchs = torch.nn

pytestmark = [
    pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning"),  # torch's own, before 2.7
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
    # the old weight_norm, in its own words
    pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning"),
]


class Difference(NamedTuple):
    """What torch's own lazy classes do, what lazify's do instead, and why."""

    name: str
    torchs: str
    lazifys: str
    why: str


#: Everything in which lazify's thirteen are meant to differ from torch's. Shown, both sides, at the end of this file.
DIFFERENCES = [
    Difference(
        "the open size before the call",
        "in_features, in_channels, num_features are 0",
        "asking is a NotMaterializedError, which is an AttributeError: hasattr says no",
        "0 is a wrong answer that code goes on computing with",
    ),
    Difference(
        "defaults of InstanceNorm",
        "affine=True, track_running_stats=True, against their own documentation",
        "those of the eager class: both False, as documented",
        "what a lazy class becomes is what the eager class with these arguments is",
    ),
    Difference(
        "attributes that are no arguments before the call",
        "there: `transposed`, `output_padding` of a convolution",
        "NotMaterializedError; those that hold arguments are there",
        "what a constructor computes may depend on what is open",
    ),
    Difference(
        "values that the constructor refuses",
        "refused at once: padding_mode='mirror'",
        "at the first call, the same error; wrong names and numbers of arguments at once",
        "the constructor that looks at them is the real module's",
    ),
    Difference(
        "the open size after the call",
        "stays 0 where nothing was left to make: a norm without parameters and statistics; a convolution or norm that "
        "was loaded before, and such an InstanceNorm fails",
        "is the size",
        "the real module is the eager one, in every attribute",
    ),
    Difference(
        "num_batches_tracked before the call",
        "a real tensor, beside uninitialized statistics; an uninitialized one in a checkpoint is refused",
        "an UninitializedBuffer, as the other buffers",
        "every buffer becomes real at one moment, and on the input's device",
    ),
    Difference(
        "isinstance of norms",
        "LazyBatchNorm2d is no BatchNorm2d, and LazyInstanceNorm2d no InstanceNorm2d, until the call",
        "a lazy instance is an instance of the wrapped class",
        "what is selected by class (decay groups, freezing of norms) is found",
    ),
    Difference(
        "repr",
        "as of the eager class, with 0 for the open size",
        "the lazy class, what was given, and a question mark",
        "LazyLinear(in_features=0, ...) reads as a fault",
    ),
    Difference(
        "extra_repr()",
        "answers, with 0 for the open size",
        "raises: it is the eager class's own, which asks for the open size",
        "nobody but repr calls it, and repr answers itself",
    ),
    Difference(
        "load_state_dict of a real checkpoint",
        "the tensors are real, the class is lazy and the open size 0 until a call",
        "the module is real at once",
        "a model that was loaded is ready: it need not see an input first",
    ),
    Difference(
        "load_state_dict of another architecture",
        "takes whatever shapes there are; the module contradicts its own attributes",
        "InferenceError, and still lazy",
        "an eager module refuses, too",
    ),
    Difference(
        "load_state_dict of a part",
        "makes that part real, and then the first call fails",
        "the part waits for the first call, or says the size already",
        "loading a backbone with strict=False must not break the rest",
    ),
    Difference(
        "apply",
        "runs at once, on a module without values",
        "runs at the first call, on the real module, in order",
        "initialisation by model.apply(init) works on a lazy model",
    ),
    Difference(
        "reset_parameters",
        "does nothing before the call",
        "is done at the first call, after the construction, as it would be on the eager module",
        "what was done before the call holds after it",
    ),
    Difference(
        "requires_grad_(False)",
        "ValueError on the module, until the call",
        "works, and holds after the call",
        "freezing a model must not depend on when",
    ),
    Difference(
        "bfloat16(), type(...), to_empty(...)",
        "ValueError, until the call",
        "work, as half() and double() do",
        "as above",
    ),
    Difference(
        "to('meta')",
        "the parameters become empty real ones, and the first call fails",
        "the first call makes the parameters there",
        "as above",
    ),
    Difference(
        "deepcopy of norms",
        "ValueError: an UninitializedBuffer cannot be copied",
        "a lazy copy that becomes real on its own",
        "moving averages, cross validation",
    ),
    Difference(
        "an attribute set before the call",
        "out_channels = 8 changes the shape of the weight to come",
        "is an attribute, as on an eager module: the weight is as it was constructed",
        "the eager module is what counts; what the constructor was told stays",
    ),
    Difference(
        "a parameter set before the call",
        "module.weight = Parameter(...) makes the first call fail",
        "replaces the parameter, as on an eager module",
        "what was done before the call holds after it",
    ),
    Difference(
        "a parameter materialized by hand",
        "weight.materialize(shape) works, with whatever the memory held; unless done to all, the first call fails",
        "refused with torch's ValueError; materialize(module, input) does the whole",
        "a half-real module is no use",
    ),
    Difference(
        "values of an uninitialized parameter",
        "weight.data is an empty tensor, and what is written into it is lost; size() is (0,), ndim 1",
        "`data` and `size()` are refused; ndim is right",
        "an initialisation that is silently lost is the worst outcome; optimizers group by ndim",
    ),
    Difference(
        "detach of an uninitialized parameter",
        "ValueError",
        "gives the parameter itself",
        "state_dict() works as on any module, also of the modules around",
    ),
    Difference(
        "own hooks before the call",
        "two hooks of its own are in the hook dicts until the call",
        "none",
        "who lists, clears or copies hooks meets only the user's",
    ),
    Difference(
        "a forward pre-hook that changes the input",
        "the size is taken from the input before the hook, and the call fails",
        "the size is taken from what forward gets",
        "forward is what the parameters must fit",
    ),
    Difference(
        "forward() called directly",
        "ValueError, until the call",
        "is the first call, without hooks",
        "a wrapper that calls forward itself works",
    ),
    Difference(
        "a first call that fails in forward",
        "the module is real, with the sizes of the input that was wrong, for good",
        "the module is lazy, unchanged; the next good call works",
        "a typing error in a notebook must not cost the model",
    ),
    Difference(
        "an input without that dimension",
        "IndexError for a linear layer or a norm, AttributeError for what is no tensor",
        "InferenceError that names class, parameter and what the call was",
        "the error says what to do",
    ),
    Difference(
        "unbatched input of InstanceNorm",
        "takes dimension 1 for the channels, and fails",
        "takes the channels that the eager class takes",
        "InstanceNorm2d takes (C, H, W)",
    ),
    Difference(
        "device of the input",
        "the parameters are on the default device; an input from elsewhere fails or mixes devices",
        "the parameters are made where the input is, unless the user said where",
        "moving the model first is the eager world's chore",
    ),
    Difference(
        "a first call under inference_mode",
        "the parameters are inference tensors: the model can never be trained",
        "the parameters are as trainable as if made outside",
        "a shape check with inference_mode must not spoil the model",
    ),
    Difference(
        "becoming real without a call",
        "there is no way but a dry run, which updates the statistics of BatchNorm",
        "materialize(module, shape) computes nothing and leaves the statistics",
        "the eager model's statistics have not moved either",
    ),
    Difference(
        "subclasses of the lazy class",
        "class Mine(nn.LazyLinear) is allowed, and its instances become Linear, not Mine",
        "DefinitionError at the class statement; lazify(Mine) of an eager subclass does it",
        "the subclass would silently be lost at the first call",
    ),
    Difference(
        "SyncBatchNorm.convert_sync_batchnorm",
        "makes a SyncBatchNorm of size 0 that fails when called",
        "NotMaterializedError at the conversion",
        "the error comes where the fault is",
    ),
]


# ---------------------------------------------------------------------------------------------
# The thirteen


@dataclass(frozen=True)
class Kind:
    name: str
    args: tuple[Any, ...]
    options: dict[str, Any]
    size: str
    shape: tuple[int, ...]
    wrong: tuple[int, ...] | None = None  # a number of dimensions that the class does not take
    error: type[Exception] = RuntimeError
    words: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    @property
    def is_norm(self) -> bool:
        return "Norm" in self.name

    @property
    def eager_class(self) -> type[Module]:
        cls: type[Module] = getattr(torch.nn, self.name.removeprefix("Lazy"))
        return cls

    def lazy_class(self, ns: ModuleType) -> Any:
        return getattr(ns, self.name)

    def lazy(self, ns: ModuleType, **more: Any) -> Any:
        return self.lazy_class(ns)(*self.args, **{**self.options, **more})

    def eager(self, width: int = 6, **more: Any) -> Any:
        return self.eager_class(width, *self.args, **{**self.options, **more})

    def input(self, width: int = 6, **options: Any) -> torch.Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(7)
            return torch.randn((self.shape[0], width, *self.shape[2:]), **options)

    def called(self, ns: ModuleType, width: int = 6) -> Any:
        module = self.lazy(ns)
        module(self.input(width))
        return module


def _conv(dims: int, transposed: bool) -> Kind:
    facts: dict[str, Any] = {
        "out_channels": 4,
        "kernel_size": (2,) * dims,
        "stride": (2,) * dims,
        "padding": (1,) * dims,
        "dilation": (1,) * dims,
        "groups": 2,
        "padding_mode": "zeros",
        **({"output_padding": (0,) * dims} if transposed else {}),
    }
    name = f"LazyConv{'Transpose' * transposed}{dims}d"
    words = rf"Expected {dims + 1}D \(unbatched\) or {dims + 2}D \(batched\) input"
    options = {"stride": 2, "padding": 1, "groups": 2}
    return Kind(
        name, (4, 2), options, "in_channels", (3, 6, *(5,) * dims), (2,) * (dims + 3), RuntimeError, words, facts
    )


def _norm(prefix: str, dims: int) -> Kind:
    facts = {"eps": 1e-3, "momentum": 0.2, "affine": True, "track_running_stats": True}
    wrong = (2, 6, *(5,) * (dims + 1))
    return Kind(
        f"Lazy{prefix}{dims}d",
        (),
        facts,
        "num_features",
        (3, 6, *(5,) * dims),
        wrong,
        ValueError,
        r"expected .*D",
        facts,
    )


KINDS = [
    Kind("LazyLinear", (3,), {}, "in_features", (4, 6), facts={"out_features": 3}),
    *(_conv(dims, transposed) for transposed in (False, True) for dims in (1, 2, 3)),
    *(_norm(prefix, dims) for prefix in ("BatchNorm", "InstanceNorm") for dims in (1, 2, 3)),
]
BY_NAME = {kind.name: kind for kind in KINDS}
LINEAR, CONV, NORM, INSTANCE = (
    BY_NAME[f"Lazy{name}"] for name in ("Linear", "Conv2d", "BatchNorm2d", "InstanceNorm2d")
)
WEIGHTED = [kind for kind in KINDS if not kind.is_norm]
NORMS = [kind for kind in KINDS if kind.is_norm]
#: One of each sort, where the number of dimensions cannot matter.
FEW = [LINEAR, CONV, BY_NAME["LazyConvTranspose1d"], NORM, INSTANCE]
FLAGS = ("affine", "track_running_stats")
NAMESPACES = {"torch": torchs, "lazify": lazifys}


def both(kinds: list[Kind] = KINDS) -> Any:
    """Each kind, of torch's and of lazify's."""
    return pytest.mark.parametrize(
        ("kind", "ns"),
        [pytest.param(kind, ns, id=f"{kind}-{whose}") for kind in kinds for whose, ns in NAMESPACES.items()],
    )


def tensors(module: Module) -> dict[str, torch.Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def waiting(module: Module) -> dict[str, torch.Tensor]:
    return {name: each for name, each in tensors(module).items() if is_uninitialized(each)}


def assert_real(kind: Kind, module: Module, width: int = 6, *, sized: bool = True) -> None:
    assert type(module) is kind.eager_class
    assert getattr(module, kind.size) == (width if sized else 0)
    assert not waiting(module)
    eager = tensors(kind.eager(width))
    assert {n: (type(t), t.shape) for n, t in tensors(module).items()} == {
        n: (type(t), t.shape) for n, t in eager.items()
    }
    assert vars(module).keys() == vars(kind.eager(width)).keys()


def knows_its_size_when_loaded(kind: Kind, ns: ModuleType) -> bool:
    """See `the open size after the call`."""
    return ns is lazifys or kind is LINEAR


def breaks_when_loaded(kind: Kind, ns: ModuleType) -> bool:
    """See `the open size after the call`."""
    return ns is torchs and "Instance" in kind.name


def refilled(module: Module) -> Module:
    """Other values than any initialisation gives."""
    with torch.no_grad():
        for number, each in enumerate(tensors(module).values()):
            each.fill_(number + 2)
    return module


def test_the_thirteen_are_all_that_torch_has() -> None:
    lazies = {n for n, cls in vars(torch.nn).items() if isinstance(cls, type) and issubclass(cls, LazyModuleMixin)}
    assert lazies == set(BY_NAME)


# ---------------------------------------------------------------------------------------------
# The class


@both()
def test_the_lazy_class_is_known_as_one(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    assert isinstance(module, kind.lazy_class(ns))
    assert isinstance(module, LazyModuleMixin)
    assert module.cls_to_become is kind.lazy_class(ns).cls_to_become is kind.eager_class
    assert type(module).__name__ == module._get_name() == kind.name
    assert module.training
    assert list(module.children()) == []
    assert module.__constants__ == kind.eager_class.__constants__


@both(WEIGHTED)
def test_it_is_an_instance_of_the_eager_class(kind: Kind, ns: ModuleType) -> None:
    assert issubclass(kind.lazy_class(ns), kind.eager_class)
    assert isinstance(kind.lazy(ns), kind.eager_class)


def _shown(cls: type, *, defaults: bool = True) -> list[tuple[Any, ...]]:
    return [(p.name, p.kind, p.default if defaults else ...) for p in inspect.signature(cls).parameters.values()]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_constructor_has_torchs_parameters_in_torchs_order(kind: Kind) -> None:
    """lazify's may have more, as the eager class may: keyword-only ones."""
    theirs, ours = (_shown(kind.lazy_class(ns), defaults=False) for ns in (torchs, lazifys))
    assert ours[: len(theirs)] == theirs
    assert all(keyword is inspect.Parameter.KEYWORD_ONLY for _, keyword, _ in ours[len(theirs) :])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "InstanceNorm" not in kind.name], ids=str)
def test_the_constructor_has_torchs_defaults(kind: Kind) -> None:
    theirs, ours = (_shown(kind.lazy_class(ns)) for ns in (torchs, lazifys))
    assert ours[: len(theirs)] == theirs


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_annotations_follow_the_eager_class(kind: Kind) -> None:
    shown = inspect.signature(kind.lazy_class(lazifys)).parameters
    eager = inspect.signature(kind.eager_class).parameters
    assert {**shown, kind.size: eager[kind.size]} == dict(eager)


@both()
def test_arguments_may_go_by_position_or_by_name(kind: Kind, ns: ModuleType) -> None:
    parameters = list(inspect.signature(kind.lazy_class(torchs)).parameters.values())
    parameters = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    bound = inspect.signature(kind.lazy_class(torchs)).bind(*kind.args, **kind.options)
    bound.apply_defaults()
    values = [bound.arguments[p.name] for p in parameters]
    for module in (
        kind.lazy_class(ns)(*values),
        kind.lazy_class(ns)(**{p.name: value for p, value in zip(parameters, values, strict=True)}),
    ):
        assert {name: getattr(module, name) for name in kind.facts} == kind.facts
        module(kind.input())
        assert repr(module) == repr(kind.eager())


@both()
def test_a_wrong_construction_fails_at_its_line(kind: Kind, ns: ModuleType) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'channels'"):
        kind.lazy(ns, channels=3)
    with pytest.raises(TypeError):
        kind.lazy_class(ns)(*range(40))
    if not kind.is_norm:
        with pytest.raises(TypeError, match="missing 1 required positional argument"):
            kind.lazy_class(ns)(*kind.args[:-1])


# ---------------------------------------------------------------------------------------------
# Before the call: uninitialized tensors


@both()
def test_parameters_and_statistics_are_uninitialized(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    assert module.has_uninitialized_params()
    for name, each in module.named_parameters():
        assert isinstance(each, UninitializedParameter)
        assert isinstance(each, Parameter)
        assert getattr(module, name) is each is module.get_parameter(name)
        assert each.requires_grad
        assert each.is_leaf
    buffers = dict(module.named_buffers())
    for name in ("running_mean", "running_var") if kind.is_norm else ():
        assert isinstance(buffers[name], UninitializedBuffer)
        assert not isinstance(buffers[name], Parameter)
        assert not buffers[name].requires_grad
        assert module.get_buffer(name) is getattr(module, name) is buffers[name]
    assert list(tensors(module)) == list(tensors(kind.eager()))
    assert all(is_uninitialized(each) for name, each in tensors(module).items() if name != "num_batches_tracked")


@both(NORMS)
def test_what_the_options_leave_out_is_none(kind: Kind, ns: ModuleType) -> None:
    for bias, affine, track in itertools.product((True, False), repeat=3):
        options = {"affine": affine, "track_running_stats": track, "bias": bias}
        module, twin = kind.lazy(ns, **options), kind.eager(**options)
        assert [name for name, _ in module.named_parameters()] == ["weight"] * affine + ["bias"] * (affine and bias)
        assert list(module.state_dict()) == list(twin.state_dict())
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            assert (getattr(module, name) is None) == (getattr(twin, name) is None)
        assert module.has_uninitialized_params() == (affine or track)
        assert (module.affine, module.track_running_stats) == (affine, track)
        if not (affine or track or ns is lazifys):
            continue  # see `the open size after the call`
        out = module(kind.input())
        assert type(module) is kind.eager_class
        assert torch.equal(out, twin(kind.input()))
        assert_twins(module, twin)


@both(WEIGHTED)
def test_without_a_bias(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns, bias=False)
    assert module.bias is None
    assert list(waiting(module)) == list(module.state_dict()) == ["weight"]
    torch.manual_seed(1)
    out = module(kind.input())
    torch.manual_seed(1)
    twin = kind.eager(bias=False)
    assert torch.equal(out, twin(kind.input()))
    out.sum().backward()
    twin(kind.input()).sum().backward()
    assert_twins(module, twin)


@both(FEW)
def test_an_uninitialized_tensor_says_so(kind: Kind, ns: ModuleType) -> None:
    weight = kind.lazy(ns).weight
    assert is_uninitialized(weight)
    assert repr(weight) == str(weight) == "<UninitializedParameter>"
    assert (weight.dtype, weight.device) == (torch.get_default_dtype(), torch.device("cpu"))
    assert weight.grad is None
    assert hash(weight) == id(weight)
    assert weight in {weight}
    if kind.is_norm:
        assert repr(kind.lazy(ns).running_mean) == "<UninitializedBuffer>"


ARITHMETIC: dict[str, Callable[[Any], Any]] = {
    "p + p": lambda p: p + p,
    "2 * p": lambda p: 2 * p,
    "torch.add(p, p)": lambda p: torch.add(p, p),
    "torch.empty_like(p)": torch.empty_like,
    "torch.stack([p])": lambda p: torch.stack([p]),
    "p @ p": lambda p: p @ p,
    "p.sum()": lambda p: p.sum(),
    "p.clone()": lambda p: p.clone(),
    "p.numel()": lambda p: p.numel(),
    "p.fill_(1)": lambda p: p.fill_(1),
    "p.add_(1)": lambda p: p.add_(1),
    "p.reshape(-1)": lambda p: p.reshape(-1),
    "p[0]": lambda p: p[0],
    "len(p)": len,
    "p.tolist()": lambda p: p.tolist(),
    "p.numpy()": lambda p: p.detach().numpy(),
    "torch.equal(p, p)": lambda p: torch.equal(p, p),
}


@both([LINEAR, CONV, NORM])
def test_there_is_nothing_to_compute_with(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    for each in waiting(module).values():
        for what, compute in ARITHMETIC.items():
            with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter"):
                pytest.fail(f"{what} is {compute(each)}")
    module(kind.input())
    assert_real(kind, module)


@both()
def test_there_is_no_shape(kind: Kind, ns: ModuleType) -> None:
    for each in waiting(kind.lazy(ns)).values():
        with pytest.raises(RuntimeError, match="Can't access the shape of an uninitialized parameter or buffer"):
            _ = each.shape


INIT = ["uniform_", "normal_", "ones_", "zeros_", "trunc_normal_", "kaiming_uniform_"]
INIT_2D = ["xavier_uniform_", "xavier_normal_"]


@both()
def test_initialisers_refuse(kind: Kind, ns: ModuleType) -> None:
    for name in [*INIT, "orthogonal_", *(INIT_2D if kind.is_norm else [])]:
        with pytest.raises(ValueError):  # noqa: PT011  # in many words
            pytest.fail(f"{name} gave {getattr(torch.nn.init, name)(kind.lazy(ns).weight)}")
    with pytest.raises(RuntimeError, match="Can't access the shape of an uninitialized parameter"):
        torch.nn.init.kaiming_normal_(kind.lazy(ns).weight)


@both([LINEAR, CONV])
def test_initialisers_of_matrices_refuse(kind: Kind, ns: ModuleType) -> None:
    for name in INIT_2D:
        with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter"):
            getattr(torch.nn.init, name)(kind.lazy(ns).weight)


@both(FEW)
def test_copies_and_pickles_of_an_uninitialized_parameter(kind: Kind, ns: ModuleType) -> None:
    weight = kind.lazy(ns, dtype=torch.float64).weight
    weight.requires_grad = False
    memo: dict[int, Any] = {}
    twin = copy.deepcopy(weight, memo)
    assert isinstance(twin, UninitializedParameter)
    assert twin is not weight
    assert (twin.requires_grad, twin.dtype, twin.device) == (False, torch.float64, weight.device)
    assert copy.deepcopy(weight, memo) is twin
    read = pickle.loads(pickle.dumps(weight))
    assert type(read) is UninitializedParameter
    assert not read.requires_grad


@both()
def test_known_attributes_are_there(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    before = {name: getattr(module, name) for name in kind.facts}
    assert before == kind.facts
    assert module.training
    module(kind.input())
    assert {name: getattr(module, name) for name in kind.facts} == before


@both(FEW)
def test_they_are_listed(kind: Kind, ns: ModuleType) -> None:
    assert {"weight", "bias", *kind.facts} <= set(dir(kind.lazy(ns)))


@both(FEW)
def test_what_there_is_not_is_an_attribute_error(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    assert not hasattr(module, "nonsense")
    assert getattr(module, "nonsense", 3) == 3
    with pytest.raises(AttributeError, match="nonsense"):
        module.nonsense  # noqa: B018


# ---------------------------------------------------------------------------------------------
# The first call


@both()
def test_the_first_call_makes_it_the_eager_module(kind: Kind, ns: ModuleType) -> None:
    """The same object, parameters and hooks; bit for bit what the eager module is under the same seed."""
    module = kind.lazy(ns)
    same, weight, watched = module, module.weight, weakref.ref(module)
    torch.manual_seed(1)
    out = module(kind.input())
    state = torch.get_rng_state()
    assert module is same is watched()
    assert module.weight is weight
    assert type(weight) is Parameter
    assert not isinstance(module, kind.lazy_class(ns))
    assert not hasattr(module, "cls_to_become")
    assert not hasattr(module, "has_uninitialized_params")
    assert_real(kind, module)
    torch.manual_seed(1)
    twin = kind.eager()
    assert torch.equal(out, twin(kind.input()))
    assert torch.equal(torch.get_rng_state(), state)
    assert_twins(module, twin)
    assert torch.equal(module(kind.input()), twin(kind.input()))
    assert repr(module) == repr(twin)
    assert_twins(module, twin)


@both()
def test_no_hook_is_left(kind: Kind, ns: ModuleType) -> None:
    module = kind.called(ns)
    assert not any(value for name, value in vars(module).items() if "hook" in name and value is not None)


@both()
def test_the_input_may_go_by_name(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    torch.manual_seed(1)
    out = module(input=kind.input())
    torch.manual_seed(1)
    assert torch.equal(out, kind.eager()(input=kind.input()))
    assert_real(kind, module)


@both([LINEAR, CONV, NORM])
def test_an_empty_batch_has_a_size_too(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    assert module(kind.input()[:0]).shape[0] == 0
    assert_real(kind, module)


@both(WEIGHTED)
def test_unbatched_input_has_the_same_size(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    module(kind.input()[0])
    assert_real(kind, module)


@pytest.mark.parametrize("ns", NAMESPACES.values(), ids=NAMESPACES)
def test_a_transposed_convolution_takes_the_size_of_its_output(ns: ModuleType) -> None:
    for args, options in (([[11, 11]], {}), ([], {"output_size": [12, 12]})):
        module = ns.LazyConvTranspose2d(4, 3, stride=2)
        assert module(torch.randn(2, 6, 5, 5), *args, **options).shape == (2, 4, *(args or [[12, 12]])[0])
        assert module.in_channels == 6


@both()
def test_arguments_that_forward_does_not_take(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    with pytest.raises(TypeError):
        module()
    assert module.has_uninitialized_params()
    module(kind.input())
    assert_real(kind, module)


@both([kind for kind in KINDS if kind.wrong is not None])
def test_a_wrong_number_of_dimensions(kind: Kind, ns: ModuleType) -> None:
    """(What becomes of the module is another thing: see `a first call that fails in forward` above.)"""
    assert kind.wrong is not None
    module = kind.lazy(ns)
    with pytest.raises(kind.error, match=kind.words):
        module(torch.randn(kind.wrong))
    if ns is lazifys or not kind.is_norm:
        assert module.has_uninitialized_params()
        assert type(module) is kind.lazy_class(ns)
        module(kind.input(8))
        assert_real(kind, module, 8)


@both([kind for kind in WEIGHTED if kind is not LINEAR])
def test_channels_that_the_groups_do_not_divide(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    with pytest.raises(ValueError, match="in_channels must be divisible by groups"):
        module(kind.input(5))
    assert module.has_uninitialized_params()
    module(kind.input())
    assert_real(kind, module)


@both()
def test_eval_and_train_before(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    assert module.eval() is module
    assert not module.training
    module(kind.input())
    assert_real(kind, module)
    assert not module.training
    if kind.is_norm:
        assert module.num_batches_tracked == 0
        assert torch.equal(module.running_mean, torch.zeros(6))


@both(NORMS)
def test_a_first_call_in_train_mode_counts_as_one(kind: Kind, ns: ModuleType) -> None:
    module, twin = kind.lazy(ns), kind.eager()
    for each in (module, twin):
        each(kind.input())
    assert torch.equal(module.num_batches_tracked, twin.num_batches_tracked)
    assert torch.equal(module.running_mean, twin.running_mean)
    assert torch.equal(module.running_var, twin.running_var)


@both(FEW)
def test_no_grad_leaves_trainable_parameters(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    with torch.no_grad():
        assert not module(kind.input()).requires_grad
    assert all(each.requires_grad for each in module.parameters())
    module(kind.input()).square().sum().backward()
    assert all(each.grad is not None for each in module.parameters())


# ---------------------------------------------------------------------------------------------
# Dtypes and devices

CONVERSIONS: dict[str, tuple[Callable[[Any], Any], torch.dtype]] = {
    "double()": (lambda m: m.double(), torch.float64),
    "half().float()": (lambda m: m.half().float(), torch.float32),
    "to(float64)": (lambda m: m.to(torch.float64), torch.float64),
    "to(cpu, float64)": (lambda m: m.to("cpu", torch.float64), torch.float64),
    "to(tensor)": (lambda m: m.to(torch.ones(1, dtype=torch.float64)), torch.float64),
    "cpu().double()": (lambda m: m.cpu().double(), torch.float64),
    "half()": (lambda m: m.half(), torch.float16),
}


@both()
def test_converted_before(kind: Kind, ns: ModuleType) -> None:
    for convert, dtype in CONVERSIONS.values():
        module = kind.lazy(ns)
        assert convert(module) is module
        assert {each.dtype for each in tensors(module).values()} - {torch.int64} == {dtype}
        assert module.has_uninitialized_params()
        assert module(kind.input(dtype=dtype)).dtype is dtype
        assert_real(kind, module)
        assert {each.dtype for each in module.parameters()} == {dtype}
        if kind.is_norm:
            assert module.running_mean.dtype is dtype
            assert module.num_batches_tracked.dtype is torch.int64


@both()
def test_dtype_as_an_argument(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns, dtype=torch.float64)
    assert module.weight.dtype is torch.float64
    torch.manual_seed(1)
    module(kind.input(dtype=torch.float64))
    torch.manual_seed(1)
    twin = kind.eager(dtype=torch.float64)
    twin(kind.input(dtype=torch.float64))
    assert_twins(module, twin)


@both()
def test_device_as_an_argument(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns, device="meta")
    assert module(kind.input(device="meta")).is_meta
    assert_real(kind, module)
    assert all(each.is_meta for each in tensors(module).values())


@both(FEW)
def test_device_as_an_argument_is_told(kind: Kind, ns: ModuleType) -> None:
    assert all(each.is_meta for each in tensors(kind.lazy(ns, device="meta")).values())


@both(FEW)
def test_a_move_to_meta_is_told(kind: Kind, ns: ModuleType) -> None:
    assert all(each.is_meta for each in tensors(kind.lazy(ns).to("meta")).values())


@both(FEW)
def test_the_default_dtype_and_device_are_those_of_eager(kind: Kind, ns: ModuleType) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        module = kind.lazy(ns)
        assert module.weight.dtype is torch.float64
        module(kind.input())
    finally:
        torch.set_default_dtype(torch.float32)
    assert_real(kind, module)
    assert module.weight.dtype is torch.float64


# ---------------------------------------------------------------------------------------------
# State dicts


@both()
def test_the_state_dict_has_the_real_keys(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    state = module.state_dict()
    assert list(state) == list(kind.eager().state_dict())
    assert state._metadata == kind.eager().state_dict()._metadata
    assert all(is_uninitialized(each) for name, each in state.items() if name != "num_batches_tracked")
    assert all(state[name] is each for name, each in waiting(module).items())
    around = torch.nn.Sequential(kind.lazy(ns)).state_dict(prefix="model.")
    assert list(around) == [f"model.0.{name}" for name in state]


@both()
def test_a_real_state_dict_is_loaded_into_a_lazy_module(kind: Kind, ns: ModuleType) -> None:
    saved = refilled(kind.eager())
    module = kind.lazy(ns)
    keys = module.load_state_dict(saved.state_dict())
    assert (keys.missing_keys, keys.unexpected_keys) == ([], [])
    assert not waiting(module)
    assert isinstance(module, kind.eager_class) or kind.is_norm
    assert all(torch.equal(each, saved.state_dict()[name]) for name, each in module.state_dict().items())
    if breaks_when_loaded(kind, ns):
        return
    saved.eval(), module.eval()
    assert torch.equal(module(kind.input()), saved(kind.input()))
    assert_real(kind, module, sized=knows_its_size_when_loaded(kind, ns))
    assert all(torch.equal(each, saved.state_dict()[name]) for name, each in module.state_dict().items())


@pytest.mark.parametrize("assign", [True, False])
@both()
def test_a_real_state_dict_is_loaded_into_a_model_around(kind: Kind, ns: ModuleType, assign: bool) -> None:
    saved = refilled(torch.nn.Sequential(torch.nn.Identity(), kind.eager())).eval()
    model = torch.nn.Sequential(torch.nn.Identity(), kind.lazy(ns)).eval()
    model.load_state_dict(saved.state_dict(), assign=assign)
    if breaks_when_loaded(kind, ns):
        return
    assert torch.equal(model(kind.input()), saved(kind.input()))
    assert_real(kind, model[1], sized=knows_its_size_when_loaded(kind, ns))


@both()
def test_an_uninitialized_state_dict_leaves_a_lazy_module_lazy(kind: Kind, ns: ModuleType) -> None:
    module, other = kind.lazy(ns), kind.lazy(ns)
    before = waiting(module)
    for _ in range(2):
        module.load_state_dict(other.state_dict())
    assert module.has_uninitialized_params()
    assert list(waiting(module)) == list(before)
    assert all(each is before[name] for name, each in waiting(module).items())
    module(kind.input())
    assert_real(kind, module)
    assert other.has_uninitialized_params()


@both()
def test_an_uninitialized_state_dict_is_refused_by_a_real_module(kind: Kind, ns: ModuleType) -> None:
    for real in (kind.eager(), kind.called(ns)):
        with pytest.raises(RuntimeError, match="shape of an uninitialized"):
            real.load_state_dict(kind.lazy(ns).state_dict())


@both()
def test_each_takes_the_others_uninitialized_state_dict(kind: Kind, ns: ModuleType) -> None:
    if ns is torchs and kind.is_norm:
        pytest.skip("see `num_batches_tracked before the call`")
    other = kind.lazy(lazifys if ns is torchs else torchs)
    module = kind.lazy(ns)
    module.load_state_dict(other.state_dict(), strict=True)
    assert module.has_uninitialized_params()
    module(kind.input())
    other(kind.input())
    module.load_state_dict(other.state_dict())
    assert all(torch.equal(each, other.state_dict()[name]) for name, each in module.state_dict().items())


@both()
def test_missing_and_unexpected_keys(kind: Kind, ns: ModuleType) -> None:
    state = kind.eager().state_dict()
    del state["weight"]
    state["other"] = torch.ones(1)
    for words in (r'Missing key\(s\) in state_dict: "weight"', r'Unexpected key\(s\) in state_dict: "other"'):
        with pytest.raises(RuntimeError, match=words):
            kind.lazy(ns).load_state_dict(state)
    keys = kind.lazy(ns).load_state_dict(state, strict=False)
    assert (keys.missing_keys, keys.unexpected_keys) == (["weight"], ["other"])
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "weight", "bias"'):
        kind.lazy(ns).load_state_dict({})
    module = kind.lazy(ns)
    missing = set(module.load_state_dict({}, strict=False).missing_keys)
    assert missing | {"num_batches_tracked"} == set(module.state_dict()) | {"num_batches_tracked"}
    assert module.has_uninitialized_params()
    module(kind.input())
    assert_real(kind, module)


@both(NORMS)
def test_a_checkpoint_from_before_num_batches_tracked(kind: Kind, ns: ModuleType) -> None:
    state = refilled(kind.eager()).state_dict()
    del state["num_batches_tracked"]
    state._metadata[""]["version"] = 1
    module = kind.lazy(ns).eval()
    module.load_state_dict(state)
    if breaks_when_loaded(kind, ns):
        return
    module(kind.input())
    assert_real(kind, module, sized=knows_its_size_when_loaded(kind, ns))
    assert module.num_batches_tracked == 0
    assert torch.equal(module.running_mean, state["running_mean"])


# ---------------------------------------------------------------------------------------------
# Copies


@both()
def test_pickled_before_and_after(kind: Kind, ns: ModuleType) -> None:
    module = pickle.loads(pickle.dumps(kind.lazy(ns)))
    assert type(module) is kind.lazy_class(ns)
    assert list(waiting(module)) == list(waiting(kind.lazy(ns)))
    assert {name: getattr(module, name) for name in kind.facts} == kind.facts
    module(kind.input())
    assert_real(kind, module)
    read = pickle.loads(pickle.dumps(module))
    assert type(read) is kind.eager_class
    assert_twins(read, module)


@both(FEW)
def test_saved_to_a_file(kind: Kind, ns: ModuleType) -> None:
    for saved in (kind.lazy(ns), kind.called(ns)):
        file = io.BytesIO()
        torch.save(saved, file)
        file.seek(0)
        module = torch.load(file, weights_only=False)
        assert type(module) is type(saved)
        module(kind.input())
        assert_real(kind, module)


@both()
def test_copied_before(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns, **({"track_running_stats": False} if kind.is_norm else {}))
    twin = copy.deepcopy(module)
    assert type(twin) is kind.lazy_class(ns)
    assert not {id(each) for each in twin.parameters()} & {id(each) for each in module.parameters()}
    twin(kind.input(8))
    assert getattr(twin, kind.size) == 8
    assert module.has_uninitialized_params()
    module(kind.input())
    assert getattr(module, kind.size) == 6
    assert_twins(copy.deepcopy(module), module)


# ---------------------------------------------------------------------------------------------
# Optimizers


@both()
def test_an_optimizer_made_before_trains(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    torch.manual_seed(1)
    twin = kind.eager()
    theirs = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9)
    torch.manual_seed(1)
    for _ in range(2):
        for each, its in ((module, optimizer), (twin, theirs)):
            its.zero_grad()
            (each(kind.input()) - 1).square().sum().backward()
            clip_grad_norm_(each.parameters(), 1.0)
            its.step()
    assert all(a is b for a, b in zip(module.parameters(), optimizer.param_groups[0]["params"], strict=True))
    assert_twins(module, twin)


OPTIMIZERS = "Adadelta Adam Adamax AdamW ASGD LBFGS NAdam RAdam RMSprop Rprop SGD".split()


@both([LINEAR, NORM])
def test_torchs_optimizers(kind: Kind, ns: ModuleType) -> None:
    for name in OPTIMIZERS:
        module = kind.lazy(ns)
        optimizer = getattr(torch.optim, name)(module.parameters())
        assert all(is_uninitialized(each) for each in optimizer.param_groups[0]["params"])

        def loss(module: Module = module, optimizer: torch.optim.Optimizer = optimizer) -> float:
            optimizer.zero_grad()
            value = (module(kind.input()) - 1).square().mean()
            value.backward()
            return value.item()

        loss()
        before = [each.detach().clone() for each in module.parameters()]
        optimizer.step(loss)
        same = [torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True)]
        assert not any(same), name


@both([LINEAR, CONV, NORM])
def test_adagrad_needs_values(kind: Kind, ns: ModuleType) -> None:
    with pytest.raises(ValueError, match="uninitialized parameter"):
        torch.optim.Adagrad(kind.lazy(ns).parameters())


# ---------------------------------------------------------------------------------------------
# Hooks


@both()
def test_the_users_hooks_run_once_a_call(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    log: list[Any] = []
    removed = [
        module.register_forward_hook(lambda *_: log.append("removed")),
        module.register_forward_pre_hook(lambda *_: log.append("removed")),
    ]
    late = module.register_forward_hook(lambda m, args, out: log.append(("forward", type(m), out.shape)))
    module.register_forward_pre_hook(lambda m, args: log.append(("pre", len(args))))
    module.register_forward_pre_hook(lambda m, args, named: log.append(("named", *named)), with_kwargs=True)
    module.register_forward_hook(lambda *_: log.append("always"), always_call=True)
    module.register_full_backward_hook(lambda *_: log.append("backward"))
    for handle in removed:
        handle.remove()
    out = module(kind.input().requires_grad_())
    expected_ = [("pre", 1), ("named",), ("forward", kind.eager_class, out.shape), "always"]
    assert log == expected_
    out.sum().backward()
    assert log == [*expected_, "backward"]
    late.remove()
    log.clear()
    module(input=kind.input())
    assert log == [("pre", 0), ("named", "input"), "always"]


@both(FEW)
def test_a_forward_hook_may_change_the_output(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    module.register_forward_hook(lambda m, args, out: args[0] + 1)
    x = kind.input()
    assert torch.equal(module(x), x + 1)
    assert_real(kind, module)


@both()
def test_a_pre_hook_put_first_may_change_the_input(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    module.register_forward_pre_hook(lambda m, args: torch.cat([args[0], args[0]], 1), prepend=True)
    module(kind.input())
    assert_real(kind, module, 12)
    module(kind.input())


@both(FEW)
def test_a_pre_hook_may_change_the_values_of_the_input(kind: Kind, ns: ModuleType) -> None:
    module, twin = kind.lazy(ns), kind.eager()
    module.register_forward_pre_hook(lambda m, args: args[0] + 1)
    module.register_forward_pre_hook(lambda m, args, named: (args, named), with_kwargs=True)
    torch.manual_seed(1)
    out = module(kind.input())
    torch.manual_seed(1)
    twin.reset_parameters()
    assert torch.equal(out, twin(kind.input() + 1))


@both(FEW)
def test_hooks_of_state_dicts(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    log: list[str] = []
    module.register_state_dict_pre_hook(lambda *_: log.append("save"))
    module.register_load_state_dict_post_hook(lambda *_: log.append("load"))
    state = module.state_dict()
    module.load_state_dict(state)
    assert log == ["save", "load"]
    module(kind.input())
    module.load_state_dict(module.state_dict())
    assert log == ["save", "load"] * 2


# ---------------------------------------------------------------------------------------------
# What may be done before, and what is refused


@both()
def test_reset_parameters_before(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    assert module.reset_parameters() is None
    assert module.has_uninitialized_params()
    module(kind.input())
    assert_real(kind, module)


@both(FEW)
def test_apply_reaches_it(kind: Kind, ns: ModuleType) -> None:
    met: list[Any] = []
    model = torch.nn.Sequential(kind.lazy(ns), torch.nn.Identity())
    assert model.apply(met.append) is model
    model(kind.input())
    assert len(met) == 3
    assert {id(each) for each in met} == {id(model), id(model[0]), id(model[1])}


@both(FEW)
def test_zero_grad_and_clipping_before(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    module.zero_grad()
    assert clip_grad_norm_(module.parameters(), 1.0) == 0
    assert module.has_uninitialized_params()


@both(FEW)
def test_freezing_one_parameter_before(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    module.bias.requires_grad = False
    module(kind.input())
    assert [each.requires_grad for each in module.parameters()] == [True, False]


@both(FEW)
def test_attached_before(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    module.register_buffer("count", torch.zeros(3))
    module.register_parameter("extra", Parameter(torch.ones(2)))
    module.add_module("inner", torch.nn.Linear(2, 2))
    module.note = "mine"
    assert {"count", "extra", "inner.weight"} <= set(module.state_dict())
    inner, extra = module.inner, module.extra
    module(kind.input())
    assert type(module) is kind.eager_class
    assert {"count", "extra", "inner.weight"} <= set(module.state_dict())
    assert (module.inner, module.extra, module.note) == (inner, extra, "mine")


@both(FEW)
def test_a_bias_taken_away_before(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    module.bias = None
    module(kind.input())
    assert type(module) is kind.eager_class
    assert module.bias is None
    assert "bias" not in module.state_dict()


@both(NORMS)
def test_attributes_of_norms_set_before(kind: Kind, ns: ModuleType) -> None:
    module = kind.lazy(ns)
    module.eps, module.momentum = 0.5, 0.25
    module(kind.input())
    twin = kind.eager(eps=0.5, momentum=0.25)
    twin(kind.input())
    assert_twins(module, twin)


@both()
def test_sharing_memory_is_refused(kind: Kind, ns: ModuleType) -> None:
    for model in (kind.lazy(ns), torch.nn.Sequential(kind.lazy(ns))):
        with pytest.raises(RuntimeError, match="Can't share memory on an uninitialized"):
            model.share_memory()
    assert kind.called(ns).share_memory().weight.is_shared()


@both()
def test_torchscript_is_refused(kind: Kind, ns: ModuleType) -> None:
    with pytest.raises(RuntimeError, match=r"has uninitialized (parameters|buffers).*run a forward pass"):
        torch.jit.script(kind.lazy(ns))


@both([LINEAR, CONV, NORM])
def test_tracing_is_refused(kind: Kind, ns: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="has uninitialized parameters"):
        torch.jit.trace(kind.lazy(ns), kind.input())


@pytest.mark.parametrize("ns", NAMESPACES.values(), ids=NAMESPACES)
def test_torchscript_of_buffers_alone_is_refused(ns: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="uninitialized buffers"):
        torch.jit.script(ns.LazyBatchNorm1d(affine=False))


@both(WEIGHTED)
def test_norms_of_weights_are_refused(kind: Kind, ns: ModuleType) -> None:
    for reparametrize in (weight_norm, spectral_norm):
        with pytest.raises(ValueError, match="can't have uninitialized parameters"):
            reparametrize(kind.lazy(ns))
    for reparametrize in (parametrizations.weight_norm, parametrizations.spectral_norm, parametrizations.orthogonal):
        module = kind.lazy(ns)
        with pytest.raises((ValueError, RuntimeError, IndexError)):
            reparametrize(module)


@both(FEW)
def test_data_parallel_is_refused(kind: Kind, ns: ModuleType) -> None:
    with pytest.raises(RuntimeError):
        kind.lazy(ns)._replicate_for_data_parallel()


@both(FEW)
def test_parameters_may_be_initialized_without_a_call(kind: Kind, ns: ModuleType) -> None:
    """torch's public method for it; the module becomes real at the first call, at the latest."""
    module = kind.lazy(ns)
    torch.manual_seed(1)
    module.initialize_parameters(kind.input())
    assert not waiting(module)
    assert getattr(module, kind.size) == 6
    torch.manual_seed(1)
    twin = kind.eager()
    assert torch.equal(module(kind.input()), twin(kind.input()))
    assert_twins(module, twin)


# ---------------------------------------------------------------------------------------------
# Models of several


@pytest.mark.parametrize("ns", NAMESPACES.values(), ids=NAMESPACES)
def test_a_chain_becomes_real_in_one_call(ns: ModuleType) -> None:
    def network(lazy: bool) -> Module:
        if lazy:
            parts = [
                ns.LazyConv2d(4, 3),
                ns.LazyBatchNorm2d(),
                ns.LazyConvTranspose2d(5, 2),
                ns.LazyInstanceNorm2d(affine=True),
            ]
            parts += [ns.Flatten(), ns.LazyLinear(8), ns.ReLU(), ns.LazyBatchNorm1d(), ns.LazyLinear(2)]
        else:
            parts = [
                ns.Conv2d(3, 4, 3),
                ns.BatchNorm2d(4),
                ns.ConvTranspose2d(4, 5, 2),
                ns.InstanceNorm2d(5, affine=True),
            ]
            parts += [ns.Flatten(), ns.Linear(180, 8), ns.ReLU(), ns.BatchNorm1d(8), ns.Linear(8, 2)]
        if lazy and ns is torchs:  # whose defaults are not those of the eager class
            parts[3] = ns.LazyInstanceNorm2d(affine=True, track_running_stats=False)
        return ns.Sequential(*parts)

    x = torch.randn(4, 3, 7, 7)
    model = network(lazy=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.manual_seed(1)
    out = model(x)
    torch.manual_seed(1)
    twin = network(lazy=False)
    assert torch.equal(out, twin(x))
    assert_twins(model, twin)
    out.sum().backward()
    optimizer.step()
    assert model(x).shape == (4, 2)


@pytest.mark.parametrize("ns", NAMESPACES.values(), ids=NAMESPACES)
def test_attributes_of_ones_own_module(ns: ModuleType) -> None:
    class Network(ns.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first = ns.LazyLinear(15)
            self.more = ns.ModuleList([ns.LazyLinear(15), ns.LazyLinear(15)])
            self.heads = ns.ModuleDict({"a": ns.LazyLinear(2), "b": ns.LazyLinear(3)})
            self.tied = ns.LazyLinear(15)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            x = self.first(x)
            for each in (*self.more, self.tied, self.tied):
                x = each(x).relu()
            return tuple(head(x) for head in self.heads.values())

    network = Network()
    assert all(is_uninitialized(each) for each in network.parameters())
    assert len(list(network.parameters())) == 12
    first, second = network(torch.ones(5, 10))
    assert (first.shape, second.shape) == ((5, 2), (5, 3))
    assert (network.first.weight.shape, network.tied.weight.shape) == ((15, 10), (15, 15))
    assert all(type(each) is torch.nn.Linear for each in network.modules() if isinstance(each, torch.nn.Linear))


@pytest.mark.parametrize("ns", NAMESPACES.values(), ids=NAMESPACES)
def test_an_untouched_branch_stays_lazy(ns: ModuleType) -> None:
    model = ns.ModuleDict({"used": ns.LazyLinear(2), "unused": ns.LazyLinear(2)})
    model["used"](torch.ones(3, 4))
    assert [type(each) is torch.nn.Linear for each in model.values()] == [True, False]
    state = model.state_dict()
    assert [is_uninitialized(each) for each in state.values()] == [False, False, True, True]
    again = ns.ModuleDict({"used": ns.LazyLinear(2), "unused": ns.LazyLinear(2)})
    again.load_state_dict(state)
    assert torch.equal(again["used"].weight, model["used"].weight)
    assert again["unused"].has_uninitialized_params()


@pytest.mark.parametrize("ns", NAMESPACES.values(), ids=NAMESPACES)
def test_a_lazy_layer_is_a_leaf_to_torch_fx(ns: ModuleType) -> None:
    model = ns.Sequential(ns.LazyLinear(3), ns.ReLU(), ns.LazyLinear(2))
    traced = torch.fx.symbolic_trace(model)
    assert traced(torch.ones(4, 6)).shape == (4, 2)
    assert [type(each) for each in traced.children()] == [torch.nn.Linear, torch.nn.ReLU, torch.nn.Linear]


# ---------------------------------------------------------------------------------------------
# Where they differ on purpose: both sides of each line of the list at the top

SHOWN: dict[str, Callable[[], None]] = {}


def shows(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def keep(test: Callable[[], None]) -> Callable[[], None]:
        assert name not in SHOWN
        SHOWN[name] = test
        return test

    return keep


def test_every_difference_is_listed_and_shown() -> None:
    assert [difference.name for difference in DIFFERENCES] == list(SHOWN)
    assert all(difference.torchs != difference.lazifys and difference.why for difference in DIFFERENCES)


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.name)
def test_a_difference_is_what_the_list_says(difference: Difference) -> None:
    SHOWN[difference.name]()


@shows("the open size before the call")
def _() -> None:
    for kind in KINDS:
        assert getattr(kind.lazy(torchs), kind.size) == 0
        assert not hasattr(kind.lazy(lazifys), kind.size)
        with pytest.raises(NotMaterializedError, match=f"attribute '{kind.size}' is not known yet") as caught:
            getattr(kind.lazy(lazifys), kind.size)
        assert isinstance(caught.value, AttributeError)


@shows("defaults of InstanceNorm")
def _() -> None:
    for kind in (each for each in KINDS if "InstanceNorm" in each.name):
        flags = [getattr(kind.lazy_class(ns)(), name) for ns in (torchs, lazifys) for name in FLAGS]
        assert flags == [True, True, False, False]
        assert all(f"{name}: " in (kind.lazy_class(torchs).__doc__ or "") for name in FLAGS)
        assert (kind.lazy_class(torchs).__doc__ or "").count("Default: ``False``") == 2
        module = kind.lazy_class(lazifys)(affine=True, track_running_stats=True)
        assert list(module.state_dict()) == list(kind.lazy_class(torchs)().state_dict())


@shows("attributes that are no arguments before the call")
def _() -> None:
    for kind in (each for each in WEIGHTED if each is not LINEAR):
        assert kind.lazy(torchs).transposed == ("Transpose" in kind.name)
        with pytest.raises(NotMaterializedError):
            _ = kind.lazy(lazifys).transposed


@shows("values that the constructor refuses")
def _() -> None:
    with pytest.raises(ValueError, match=r"padding.mode"):
        CONV.lazy(torchs, padding_mode="mirror")
    module = CONV.lazy(lazifys, padding_mode="mirror")
    with pytest.raises(ValueError, match=r"padding.mode"):
        module(CONV.input())


@shows("the open size after the call")
def _() -> None:
    for kind in KINDS:
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        for module in (theirs, ours):
            module.load_state_dict(kind.eager().state_dict())
        ours(kind.input())
        assert_real(kind, ours)
        with pytest.raises(ValueError, match="to match num_features") if "Instance" in kind.name else nullcontext():
            theirs(kind.input())
        assert_real(kind, theirs, sized=kind is LINEAR)
    for kind in NORMS:
        ours = kind.lazy(lazifys, affine=False, track_running_stats=False)
        ours(kind.input())
        assert ours.num_features == 6
        theirs = kind.lazy(torchs, affine=False, track_running_stats=False)
        with pytest.warns(UserWarning, match="num_feat") if "Instance" in kind.name else nullcontext():
            theirs(kind.input())
        assert (type(theirs), theirs.num_features) == (kind.eager_class, 0)


@shows("num_batches_tracked before the call")
def _() -> None:
    for kind in NORMS:
        assert torch.equal(kind.lazy(torchs).num_batches_tracked, torch.tensor(0))
        assert isinstance(kind.lazy(lazifys).num_batches_tracked, UninitializedBuffer)
        assert kind.lazy(lazifys).num_batches_tracked.dtype is torch.int64
        kind.lazy(lazifys).load_state_dict(kind.lazy(torchs).state_dict())
        with pytest.raises(RuntimeError, match="shape of an uninitialized"):
            kind.lazy(torchs).load_state_dict(kind.lazy(lazifys).state_dict())


@shows("isinstance of norms")
def _() -> None:
    for kind in NORMS:
        assert not isinstance(kind.lazy(torchs), kind.eager_class)
        assert not issubclass(kind.lazy_class(torchs), kind.eager_class)
        assert isinstance(kind.lazy(lazifys), kind.eager_class)
        assert issubclass(kind.lazy_class(lazifys), kind.eager_class)


@shows("repr")
def _() -> None:
    assert repr(torchs.LazyConv2d(4, 3)) == "LazyConv2d(0, 4, kernel_size=(3, 3), stride=(1, 1))"
    assert repr(lazifys.LazyConv2d(4, 3)) == "LazyConv2d(in_channels=?, out_channels=4, kernel_size=3)"
    assert repr(torchs.LazyLinear(4)) == "LazyLinear(in_features=0, out_features=4, bias=True)"
    assert repr(lazifys.LazyLinear(4)) == "LazyLinear(in_features=?, out_features=4)"


@shows("extra_repr()")
def _() -> None:
    for kind in KINDS:
        assert "0" in kind.lazy(torchs).extra_repr()
        with pytest.raises((NotMaterializedError, KeyError), match=kind.size):
            kind.lazy(lazifys).extra_repr()


@shows("load_state_dict of a real checkpoint")
def _() -> None:
    for kind in KINDS:
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        for module in (theirs, ours):
            module.load_state_dict(kind.eager().state_dict())
        assert (type(theirs), getattr(theirs, kind.size)) == (kind.lazy_class(torchs), 0)
        assert_real(kind, ours)


@shows("load_state_dict of another architecture")
def _() -> None:
    other = torch.nn.Linear(6, 5).state_dict()
    theirs, ours = torchs.LazyLinear(3), lazifys.LazyLinear(3)
    theirs.load_state_dict(other)
    assert (theirs.out_features, theirs.weight.shape) == (3, (5, 6))
    with pytest.raises(InferenceError, match="the checkpoint fits no value of in_features"):
        ours.load_state_dict(other)
    assert toolkit.is_lazy(ours)


@shows("load_state_dict of a part")
def _() -> None:
    for kind in KINDS:
        state = {"bias": torch.full_like(kind.eager().bias, 7)}
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        for module in (theirs, ours):
            assert "weight" in module.load_state_dict(state, strict=False).missing_keys
        assert next(iter(waiting(theirs))) == "weight"
        assert not is_uninitialized(theirs.bias)
        with pytest.raises((AttributeError, AssertionError)):
            theirs(kind.input())
        ours(kind.input())
        assert_real(kind, ours)
        assert torch.equal(ours.bias, state["bias"])


@shows("apply")
def _() -> None:
    def ones(module: Any) -> None:
        torch.nn.init.ones_(module.weight)

    for kind in KINDS:
        met: list[type] = []
        for ns, then in ((torchs, [kind.lazy_class(torchs)]), (lazifys, [])):
            module = kind.lazy(ns).apply(lambda each: met.append(type(each)))  # noqa: B023
            assert met == then
            module(kind.input())
            assert met == (then or [kind.eager_class])
            met.clear()
        with pytest.raises(ValueError, match="uninitialized parameter"):
            kind.lazy(torchs).apply(ones)
        ours = kind.lazy(lazifys).apply(ones)
        ours(kind.input())
        assert torch.equal(ours.weight, torch.ones_like(ours.weight))


@shows("reset_parameters")
def _() -> None:
    for kind in WEIGHTED:
        once, twice = kind.eager(), kind.eager()
        for ns, twin in ((torchs, once), (lazifys, twice)):
            torch.manual_seed(1)
            for _ in range(1 if twin is once else 2):
                twin.reset_parameters()
            module = kind.lazy(ns)
            module.reset_parameters()
            torch.manual_seed(1)
            module(kind.input())
            assert torch.equal(module.weight, twin.weight)
        assert not torch.equal(once.weight, twice.weight)


@shows("requires_grad_(False)")
def _() -> None:
    for kind in KINDS:
        with pytest.raises(ValueError, match="uninitialized parameter"):
            kind.lazy(torchs).requires_grad_(False)
        module = kind.lazy(lazifys).requires_grad_(False)
        module(kind.input())
        assert not any(each.requires_grad for each in module.parameters())


@shows("bfloat16(), type(...), to_empty(...)")
def _() -> None:
    for kind in KINDS:
        for convert, dtype in (
            (lambda m: m.bfloat16(), torch.bfloat16),
            (lambda m: m.type(torch.float64), torch.float64),
            (lambda m: m.to_empty(device="cpu"), torch.float32),
        ):
            with pytest.raises(ValueError, match="uninitialized parameter"):
                convert(kind.lazy(torchs))
            module = convert(kind.lazy(lazifys)).eval()
            module(kind.input(dtype=dtype))
            assert_real(kind, module)
            assert module.weight.dtype is dtype


@shows("to('meta')")
def _() -> None:
    for kind in KINDS:
        theirs, ours = kind.lazy(torchs).to("meta"), kind.lazy(lazifys).to("meta")
        assert type(theirs.weight) is Parameter
        assert theirs.weight.shape == (0,)
        with pytest.raises((AssertionError, IndexError)):
            theirs(kind.input(device="meta"))
        assert ours(kind.input(device="meta")).is_meta
        assert_real(kind, ours)
        assert all(each.is_meta for each in tensors(ours).values())


@shows("deepcopy of norms")
def _() -> None:
    for kind in NORMS:
        with pytest.raises(ValueError, match="uninitialized parameter"):
            copy.deepcopy(kind.lazy(torchs))
        module = kind.lazy(lazifys)
        twin = copy.deepcopy(module)
        twin(kind.input())
        assert_real(kind, twin)
        assert toolkit.is_lazy(module)


@shows("an attribute set before the call")
def _() -> None:
    x = CONV.input()
    theirs, ours, eager = torchs.LazyConv2d(4, 3), lazifys.LazyConv2d(4, 3), torch.nn.Conv2d(6, 4, 3)
    for module in (theirs, ours, eager):
        module.out_channels = 8
        module(x)
        assert module.out_channels == 8
    assert [module.weight.shape[0] for module in (theirs, ours, eager)] == [8, 4, 4]


@shows("a parameter set before the call")
def _() -> None:
    for kind in KINDS:
        weight = Parameter(torch.ones_like(kind.eager().weight))
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        theirs.weight = ours.weight = weight
        with pytest.raises((AttributeError, AssertionError)):
            theirs(kind.input())
        ours(kind.input())
        assert_real(kind, ours)
        assert ours.weight is weight


@shows("a parameter materialized by hand")
def _() -> None:
    for kind in KINDS:
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        theirs.weight.materialize(kind.eager().weight.shape)
        assert type(theirs.weight) is Parameter
        with pytest.raises((AttributeError, AssertionError)):
            theirs(kind.input())
        theirs = kind.lazy(torchs)
        for name, each in waiting(theirs).items():
            each.materialize(tensors(kind.eager())[name].shape)
        assert not theirs.has_uninitialized_params()
        with pytest.raises(ValueError, match="it has no values yet"):
            ours.weight.materialize(kind.eager().weight.shape)
        toolkit.materialize(ours, kind.input().shape)
        assert_real(kind, ours)


@shows("values of an uninitialized parameter")
def _() -> None:
    for kind in KINDS:
        theirs, ours = kind.lazy(torchs).weight, kind.lazy(lazifys).weight
        theirs.data.fill_(1)  # and is lost
        assert (theirs.data.shape, theirs.size(), theirs.ndim) == ((0,), (0,), 1)
        with pytest.raises(ValueError, match="uninitialized parameter"):
            ours.data.fill_(1)
        with pytest.raises(ValueError, match="uninitialized parameter"):
            ours.size()
        with pytest.raises(ValueError, match="uninitialized parameter"):
            theirs.dim()
        assert ours.ndim == ours.dim() == kind.eager().weight.ndim


@shows("detach of an uninitialized parameter")
def _() -> None:
    theirs, ours = torchs.LazyLinear(3).weight, lazifys.LazyLinear(3).weight
    with pytest.raises(ValueError, match="uninitialized parameter"):
        theirs.detach()
    assert ours.detach() is ours


@shows("own hooks before the call")
def _() -> None:
    for kind in KINDS:
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        for name in ("_forward_pre_hooks", "_load_state_dict_pre_hooks"):
            assert (len(getattr(theirs, name)), len(getattr(ours, name))) == (1, 0)


@shows("a forward pre-hook that changes the input")
def _() -> None:
    for kind in KINDS:
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        for module in (theirs, ours):
            module.register_forward_pre_hook(lambda m, args: torch.cat([args[0], args[0]], 1))
        with pytest.raises((RuntimeError, ValueError)):
            theirs(kind.input())
        ours(kind.input())
        assert_real(kind, ours, 12)


@shows("forward() called directly")
def _() -> None:
    for kind in KINDS:
        with pytest.raises((ValueError, RuntimeError)):
            kind.lazy(torchs).forward(kind.input())
        module = kind.lazy(lazifys)
        module.register_forward_hook(lambda *_: pytest.fail("forward has no hooks"))
        module.forward(kind.input())
        assert_real(kind, module)


@shows("a first call that fails in forward")
def _() -> None:
    for kind in KINDS:
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        for module in (theirs, ours):
            with pytest.raises((RuntimeError, NotImplementedError)):
                module(kind.input().to(torch.int64))
        assert_real(kind, theirs)
        with pytest.raises((RuntimeError, ValueError)):
            theirs(kind.input(8))
        assert toolkit.is_lazy(ours)
        ours(kind.input(8))
        assert_real(kind, ours, 8)
    for kind in NORMS:
        assert kind.wrong is not None
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        for module in (theirs, ours):
            with pytest.raises(ValueError, match=kind.words):
                module(torch.randn(kind.wrong))
        assert type(theirs) is kind.eager_class
        assert toolkit.is_lazy(ours)


@shows("an input without that dimension")
def _() -> None:
    for kind in (LINEAR, *NORMS):
        x = torch.tensor(1.0) if kind is LINEAR else torch.randn(2)
        with pytest.raises(IndexError):
            kind.lazy(torchs)(x)
        module = kind.lazy(lazifys)
        with pytest.raises(InferenceError, match=rf"the call does not determine '{kind.size}' of {kind.name[4:]}"):
            module(x)
        module(kind.input())
        assert_real(kind, module)
    for kind in KINDS:
        with pytest.raises(AttributeError):
            kind.lazy(torchs)([1, 2])
        with pytest.raises(InferenceError, match=r"called with: input: \[int, int\]"):
            kind.lazy(lazifys)([1, 2])


@shows("unbatched input of InstanceNorm")
def _() -> None:
    for kind in NORMS:
        if "Instance" in kind.name:
            x = kind.input(4)[0]  # of 4 channels, not 5
            with pytest.raises(ValueError, match=r"to match num_features \(5\), but got: 4"):
                kind.lazy(torchs)(x)
            module = kind.lazy(lazifys)
            module(x)
            assert_real(kind, module, 4)


@shows("device of the input")
def _() -> None:
    for kind in KINDS:
        x = kind.input(device="meta")
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        with pytest.raises(RuntimeError) if kind is LINEAR or kind.is_norm else nullcontext():
            theirs(x)
        assert {each.device.type for each in tensors(theirs).values()} == {"cpu"}
        assert ours(x).is_meta
        assert {each.device.type for each in tensors(ours).values()} == {"meta"}
        said = kind.lazy(lazifys).to("cpu").eval()
        with pytest.raises(RuntimeError) if kind is LINEAR or kind.is_norm else nullcontext():
            said(x)
        if not toolkit.is_lazy(said):
            assert {each.device.type for each in tensors(said).values()} == {"cpu"}


@shows("a first call under inference_mode")
def _() -> None:
    for kind in KINDS:
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        with torch.inference_mode():
            for module in (theirs, ours):
                module(kind.input())
        assert all(each.is_inference() for each in theirs.parameters())
        assert not any(each.is_inference() for each in tensors(ours).values())
        x = kind.input().requires_grad_()
        with pytest.raises(RuntimeError, match=r"[Ii]nference tensor"):
            theirs(x).sum().backward()
        ours(x).sum().backward()
        assert all(each.grad is not None for each in ours.parameters())


@shows("becoming real without a call")
def _() -> None:
    for kind in NORMS:
        theirs, ours = kind.lazy(torchs), kind.lazy(lazifys)
        with torch.no_grad():
            theirs(kind.input())
        assert not torch.equal(theirs.running_mean, torch.zeros(6))
        toolkit.materialize(ours, kind.input().shape)
        assert_twins(ours, kind.eager())


@shows("subclasses of the lazy class")
def _() -> None:
    theirs = type("Mine", (torchs.LazyLinear,), {})(3)
    theirs(LINEAR.input())
    assert type(theirs) is torch.nn.Linear
    with pytest.raises(DefinitionError, match="Mine subclasses a lazy class"):
        type("Mine", (lazifys.LazyLinear,), {})
    eager = type("Mine", (lazifys.Linear,), {})
    ours = toolkit.lazify(eager)(3)
    ours(LINEAR.input())
    assert type(ours) is eager


@shows("SyncBatchNorm.convert_sync_batchnorm")
def _() -> None:
    convert = torch.nn.SyncBatchNorm.convert_sync_batchnorm
    theirs = convert(torchs.LazyBatchNorm2d()).eval()
    assert theirs.num_features == 0
    with pytest.raises(ValueError, match="uninitialized parameter"):
        theirs(NORM.input())
    with pytest.raises(NotMaterializedError, match="num_features"):
        convert(lazifys.LazyBatchNorm2d())
