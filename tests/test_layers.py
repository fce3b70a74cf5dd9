"""lazify.layers: eager and lazy class of each block, one beside the other."""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import io
import math
import pickle
import typing
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from twins import assert_twins

from lazify import InferenceError, is_lazy, layers, materialize

#: (N, C, H, W). An odd number of rows and an even one of columns.
X = torch.linspace(-1, 1, 2 * 8 * 9 * 10).sin().reshape(2, 8, 9, 10)
CHANNELS = X.shape[1]

in_place = partial(nn.ReLU, inplace=True)
groups_of_two = partial(nn.GroupNorm, 2)


@dataclass(frozen=True)
class Case:
    """One lazy layer: what is given, what the first call on `X` infers, what comes out."""

    name: str
    eager: type[nn.Module]
    out: tuple[int, ...]
    given: dict[str, Any] = field(default_factory=dict)
    inferred: dict[str, int] = field(default_factory=lambda: {"in_channels": CHANNELS})
    added: tuple[str, ...] = ()

    @property
    def lazy(self) -> Callable[..., nn.Module]:
        return partial(getattr(layers, self.name), **self.given)

    def built(self, **given: Any) -> nn.Module:
        """The eager module that the lazy one is to become."""
        return self.eager(**self.inferred, **{n: v for n, v in self.given.items() if n not in self.added}, **given)

    @property
    def takes(self) -> list[str]:
        return list(inspect.signature(self.eager).parameters)

    @property
    def any_rank(self) -> dict[str, Any]:
        """What makes it take input without a batch: BatchNorm2d does not."""
        return {"norm_layer": None} if "norm_layer" in self.takes else {}


def scaled(name: str, eager: type[nn.Module], kind: str, **given: Any) -> Case:
    out = 3 * CHANNELS if kind == "expansion" else CHANNELS // 4
    ratio = f"{kind}_ratio"
    size = (9, 10) if eager is not nn.Conv2d else (7, 8)
    return Case(
        name,
        eager,
        (out, *size),
        {**given, ratio: 3 if kind == "expansion" else 4},
        {"in_channels": CHANNELS, "out_channels": out},
        (ratio,),
    )


CASES = [
    Case("LazyConvNormActivation", layers.ConvNormActivation, (6, 9, 10), {"out_channels": 6, "kernel_size": 3}),
    Case(
        "LazyBottleneckBlock", layers.BottleneckBlock, (12, 5, 5), {"mid_channels": 4, "out_channels": 12, "stride": 2}
    ),
    Case(
        "LazyInvertedBottleneck",
        layers.InvertedBottleneck,
        (8, 9, 10),
        {"out_channels": 8, "expansion_ratio": 2, "use_se": True},
    ),
    Case("LazyDepthwiseConv2d", layers.DepthwiseConv2d, (8, 5, 5), {"stride": 2}, {"channels": CHANNELS}),
    Case("LazyPointwiseConv2d", layers.PointwiseConv2d, (6, 9, 10), {"out_channels": 6}),
    Case("LazyDepthSepConv2d", layers.DepthSepConv2d, (6, 9, 10), {"out_channels": 6}),
    Case("LazySqueezeExcitation", layers.SqueezeExcitation, (8, 9, 10), {"reduction_ratio": 2}),
    scaled("LazyExpansionConv2d", nn.Conv2d, "expansion", kernel_size=3),
    scaled("LazyExpansionPointwiseConv2d", layers.PointwiseConv2d, "expansion"),
    scaled("LazyExpansionDepthSepConv2d", layers.DepthSepConv2d, "expansion"),
    scaled("LazyReductionConv2d", nn.Conv2d, "reduction", kernel_size=3),
    scaled("LazyReductionPointwiseConv2d", layers.PointwiseConv2d, "reduction"),
    scaled("LazyReductionDepthSepConv2d", layers.DepthSepConv2d, "reduction"),
]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
#: Those that are built of this package's blocks, by eager class.
BLOCKS = list({case.eager: case for case in CASES if case.eager is not nn.Conv2d}.values())
every_block = pytest.mark.parametrize("case", BLOCKS, ids=lambda case: case.eager.__name__)


def loss(out: Tensor) -> Tensor:
    """One whose gradient no normalisation cancels."""
    return (out * torch.linspace(-1, 2, out.numel()).cos().reshape(out.shape)).sum()


# ---------------------------------------------------------------------------------------------
# Every lazy layer


def test_every_lazy_layer_has_a_case():
    assert {case.name for case in CASES} == {name for name in layers.__all__ if name.startswith("Lazy")}


def test_each_lazy_layer_is_one_call_of_lazify():
    """And nothing here stands on more of lazify than its public face and its errors."""
    made = {}
    for path in sorted(Path(layers.__file__).parent.glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "lazify":
                assert node.module in ("lazify", "lazify.errors") or node.module.startswith("lazify.layers.")
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                made[node.targets[0].id] = ast.unparse(node.value.func)
    assert {name: made.get(name) for name in (case.name for case in CASES)} == {case.name: "lazify" for case in CASES}


@every_case
def test_becomes_the_eager_module_bit_for_bit(case):
    module = case.lazy()
    assert is_lazy(module)
    torch.manual_seed(0)
    out = module(X)
    torch.manual_seed(0)
    twin = case.built()
    torch.testing.assert_close(out, twin(X), rtol=0, atol=0)
    assert type(module) is case.eager
    assert out.shape == (2, *case.out)
    assert list(module.state_dict()) == list(twin.state_dict())
    assert_twins(module, twin)


@every_case
def test_takes_unbatched_input(case):
    module = case.lazy(**case.any_rank)
    assert module(X[0]).shape == case.out
    torch.testing.assert_close(module(X)[0], module(X[0]))
    assert type(module) is case.eager


@every_case
def test_signature_lacks_what_is_inferred(case):
    shown = list(inspect.signature(getattr(layers, case.name)).parameters)
    assert shown == [*(name for name in case.takes if name not in case.inferred), *case.added]


@every_case
def test_annotations_can_be_read(case):
    hints = typing.get_type_hints(getattr(layers, case.name).__init__)
    assert not set(case.inferred) & set(hints)
    assert set(case.added) <= set(hints)


@every_case
def test_what_is_inferred_may_be_given(case):
    module = getattr(layers, case.name)(**{**case.given, **case.inferred, **dict.fromkeys(case.added, 1)})
    assert type(module) is case.eager
    assert module(X).shape == (2, *case.out)


@every_case
def test_gradients_reach_every_parameter_and_the_input(case):
    module = case.lazy()
    x = X.clone().requires_grad_()
    loss(module(x)).backward()
    assert x.grad is not None
    assert x.grad.abs().amax(dim=(0, 2, 3)).gt(0).all()
    without = [name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


with_even_kernel = [(case, {"kernel_size": 4}) for case in CASES if "kernel_size" in case.takes]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("case", "given"),
    [
        pytest.param(*each, id="-".join([each[0].name, *each[1]]))
        for each in [*((c, {}) for c in CASES), *with_even_kernel]
    ],
)
def test_scripted_and_exported(case, given):
    module = case.lazy(**given)
    module(X)
    module.eval()
    out = module(X)
    torch.testing.assert_close(torch.jit.script(module)(X), out)
    torch.testing.assert_close(torch.export.export(module, (X,)).module()(X), out)
    torch.testing.assert_close(torch.fx.symbolic_trace(module)(X), out)


@every_case
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_scripted_in_training(case):
    module = case.lazy()
    module(X)
    scripted = torch.jit.script(copy.deepcopy(module))
    torch.testing.assert_close(scripted(X), module(X))


def through_pickle(module: nn.Module) -> nn.Module:
    return pickle.loads(pickle.dumps(module))


def through_file(module: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@every_case
@pytest.mark.parametrize("copied", [copy.deepcopy, through_pickle, through_file])
@pytest.mark.parametrize("when", ["lazy", "real"])
def test_copies(case, copied, when):
    module = case.lazy()
    if when == "real":
        module(X)
    twin = copied(module)
    assert is_lazy(twin) is (when == "lazy")
    if when == "lazy":
        torch.manual_seed(0)
        twin(X)
        assert is_lazy(module)
        torch.manual_seed(0)
        module(X)
    assert_twins(twin, module)


@every_case
def test_checkpoints_load(case):
    saved = case.built().state_dict()
    called, waiting = case.lazy(), case.lazy()
    called(X)
    for module in (called, waiting):
        module.load_state_dict(saved)
        assert not is_lazy(module)
        torch.testing.assert_close(dict(module.state_dict()), dict(saved), rtol=0, atol=0)


@every_case
def test_materializes_from_shapes(case):
    module = materialize(case.lazy(), torch.Size((4, CHANNELS, 16, 16)), device="meta")
    assert type(module) is case.eager
    assert {p.device.type for p in module.parameters()} == {"meta"}


@every_case
def test_the_docstring_says_what_is_inferred(case):
    doc = getattr(layers, case.name).__doc__
    assert all(f"`{name}` from" in doc for name in case.inferred)
    if case.eager is not nn.Conv2d:
        for part in (">>>", "Shape:", "Args:", "Raises:", "arXiv:"):
            assert part in doc


# ---------------------------------------------------------------------------------------------
# What lazytorch's users know

KNOWN = {
    layers.ConvNormActivation: "in_channels out_channels kernel_size stride norm_layer activation bias",
    layers.DepthwiseConv2d: "channels kernel_size stride",
    layers.PointwiseConv2d: "in_channels out_channels",
    layers.DepthSepConv2d: "in_channels out_channels kernel_size stride norm_layer activation",
    layers.SqueezeExcitation: "in_channels reduction_ratio",
    layers.BottleneckBlock: "in_channels mid_channels out_channels kernel_size stride groups dilation activation",
    layers.InvertedBottleneck: (
        "in_channels out_channels kernel_size stride expansion_ratio use_se se_reduction_ratio norm_layer activation"
    ),
}


@pytest.mark.parametrize("cls", KNOWN, ids=lambda cls: cls.__name__)
def test_arguments_are_in_the_known_order(cls):
    first = KNOWN[cls].split()
    parameters = list(inspect.signature(cls).parameters.values())
    assert [p.name for p in parameters][: len(first)] == first
    assert {p.kind for p in parameters[: len(first)]} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}


#: Another value of each argument than its default, or than that of its case.
OTHER = {
    "in_channels": 4,
    "channels": 4,
    "out_channels": 16,
    "mid_channels": 8,
    "kernel_size": 5,
    "stride": 3,
    "norm_layer": groups_of_two,
    "activation": nn.Hardswish,
    "gate": nn.Hardsigmoid,
    "bias": True,
    "padding": 2,
    "groups": 2,
    "dilation": 2,
    "padding_mode": "circular",
    "reduction_ratio": 4,
    "expansion_ratio": 3,
    "use_se": False,
    "se_reduction_ratio": 2,
    "device": "meta",
    "dtype": torch.float64,
}


@pytest.mark.parametrize(
    ("case", "name"),
    [pytest.param(case, name, id=f"{case.eager.__name__}-{name}") for case in BLOCKS for name in case.takes],
)
def test_every_argument_has_an_effect(case, name):
    # a kernel of one pixel has nothing to pad, unless it is told to
    usual = {"padding": 1} if name == "padding_mode" and case.eager is layers.PointwiseConv2d else {}
    arguments = {**case.inferred, **{n: v for n, v in case.given.items() if n not in case.added}, **usual}

    def seen(**given: Any) -> Any:
        module = case.eager(**{**arguments, **given})
        state = module.state_dict()
        return repr(module), [(n, t.shape, t.dtype, t.device) for n, t in state.items()]

    assert seen(**{name: OTHER[name]}) != seen()
    assert seen() == seen()


def test_submodules_have_the_known_names():
    def names(module: nn.Module) -> list[str]:
        return [name for name, _ in module.named_children()]

    assert names(layers.ConvNormActivation(2, 3, 3)) == ["conv", "norm", "act"]
    assert names(layers.DepthSepConv2d(2, 3)) == ["dw", "pw"]
    block = layers.BottleneckBlock(2, 3, 4)
    assert names(block) == ["layers", "proj", "activ"]
    assert names(block.layers) == ["conv1", "conv2", "conv3"]
    assert names(block.proj) == ["0", "1"]
    inverted = layers.InvertedBottleneck(4, 4, use_se=True)
    assert names(inverted) == ["layers"]
    assert names(inverted.layers) == ["pw", "dw", "se", "bottleneck"]
    assert names(inverted.layers.bottleneck) == ["conv", "norm"]
    assert names(layers.SqueezeExcitation(16)) == ["layers"]


# ---------------------------------------------------------------------------------------------
# Padding

sizes = st.tuples(st.integers(19, 24), st.integers(19, 24))
kernels = st.tuples(st.integers(1, 7), st.integers(1, 7))
upto3 = st.tuples(st.integers(1, 3), st.integers(1, 3))
modes = st.sampled_from(["zeros", "reflect", "replicate", "circular"])


def to_multiple(size: tuple[int, int], stride: tuple[int, int]) -> tuple[int, ...]:
    return tuple(math.ceil(each / step) for each, step in zip(size, stride, strict=True))


@hypothesis.given(size=sizes, kernel_size=kernels, stride=upto3, dilation=upto3, padding_mode=modes)
def test_output_size_is_input_size_by_stride(size, kernel_size, stride, dilation, padding_mode):
    given = {"kernel_size": kernel_size, "stride": stride, "dilation": dilation, "padding_mode": padding_mode}
    x = torch.zeros(1, 1, *size)
    for block in (
        layers.ConvNormActivation(1, 1, **given),
        layers.DepthwiseConv2d(1, **given),
        layers.DepthSepConv2d(1, 1, **given),
        layers.BottleneckBlock(1, 1, 1, **given),
        layers.InvertedBottleneck(1, 1, **given),
    ):
        assert block(x).shape[-2:] == to_multiple(size, stride)


@hypothesis.given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)), kernel_size=kernels, stride=upto3, dilation=upto3
)
def test_zeros_pad_an_input_of_any_size(size, kernel_size, stride, dilation):
    block = layers.ConvNormActivation(1, 1, kernel_size, stride, None, dilation=dilation)
    assert block(torch.zeros(1, *size)).shape[-2:] == to_multiple(size, stride)


@hypothesis.given(kernel_size=kernels, dilation=upto3)
def test_pads_as_torchs_same_padding_does(kernel_size, dilation):
    block = layers.ConvNormActivation(2, 2, kernel_size, norm_layer=None, activation=None, dilation=dilation)
    x = torch.linspace(-1, 1, 2 * 20 * 21).cos().reshape(1, 2, 20, 21)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's of even kernels
        same = F.conv2d(x, block.conv.weight, block.conv.bias, padding="same", dilation=dilation)
    torch.testing.assert_close(block(x), same)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("kernel_size", [3, 4, (1, 4)])
def test_padding_mode_holds_for_every_kernel(mode, kernel_size):
    block = layers.ConvNormActivation(8, 4, kernel_size, norm_layer=None, activation=None, padding_mode=mode)
    height, width = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    margins = ((width - 1) // 2, width // 2, (height - 1) // 2, height // 2)
    padded = F.pad(X, margins, mode=mode)
    torch.testing.assert_close(block(X), F.conv2d(padded, block.conv.weight, block.conv.bias))


def test_only_what_conv2d_cannot_pad_has_a_child_of_its_own():
    assert [n for n, _ in layers.ConvNormActivation(2, 3, 5, dilation=3).named_children()] == ["conv", "norm", "act"]
    assert layers.ConvNormActivation(2, 3, 2, dilation=2).conv.padding == (1, 1)
    even = layers.ConvNormActivation(2, 3, (2, 3))
    assert [n for n, _ in even.named_children()] == ["pad", "conv", "norm", "act"]
    assert repr(even.pad) == "ZeroPad2d((1, 1, 0, 1))"
    around = layers.ConvNormActivation(2, 3, 4, padding_mode="circular")
    assert (repr(around.pad), around.conv.padding_mode) == ("CircularPad2d((1, 2, 1, 2))", "zeros")
    assert even.state_dict().keys() == layers.ConvNormActivation(2, 3, 3).state_dict().keys()


@pytest.mark.parametrize("padding", [0, 1, (2, 0), "valid"])
def test_given_padding_is_passed_on(padding):
    block = layers.ConvNormActivation(2, 3, 4, padding=padding)
    assert block.conv.padding == ((padding, padding) if isinstance(padding, int) else padding)
    assert not hasattr(block, "pad")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layers.DepthSepConv2d(2, 3, padding="same")(torch.zeros(2, 2, 5, 5))


def test_an_unknown_padding_mode():
    for kernel_size in (3, 4):
        with pytest.raises(ValueError, match="padding_mode"):
            layers.ConvNormActivation(2, 3, kernel_size, padding_mode="mirror")


# ---------------------------------------------------------------------------------------------
# What each computes


def cna(block: nn.Module, x: Tensor, **conv: Any) -> Tensor:
    """A `ConvNormActivation` with batch normalisation and without activation, written out."""
    x = F.conv2d(x, block.conv.weight, block.conv.bias, **conv)
    return F.batch_norm(x, None, None, block.norm.weight, block.norm.bias, training=True)


def test_bottleneck_block():
    block = layers.BottleneckBlock(8, 4, 12, 5, stride=2, groups=2, dilation=2)
    one, two, three = block.layers
    y = cna(one, X).relu()
    y = cna(two, y, stride=2, groups=2, dilation=2, padding=4).relu()
    y = (cna(three, y) + block.proj(X)).relu()
    torch.testing.assert_close(block(X), y)


def test_bottleneck_block_whose_shortcut_is_the_input():
    block = layers.BottleneckBlock(8, 4, 8)
    assert isinstance(block.proj, nn.Identity)
    torch.testing.assert_close(block(X), (block.layers(X) + X).relu())


@pytest.mark.parametrize(("out_channels", "stride"), [(8, 2), (8, (1, 2)), (4, 1)])
def test_bottleneck_block_projects_where_shapes_differ(out_channels, stride):
    block = layers.BottleneckBlock(8, 4, out_channels, stride=stride)
    assert isinstance(block.proj, nn.Sequential)
    block(X)


def test_inverted_bottleneck():
    block = layers.InvertedBottleneck(8, 8, 5, expansion_ratio=3, use_se=True, activation=nn.SiLU)
    pw, dw, se, bottleneck = block.layers
    y = F.silu(cna(pw, X))
    y = F.silu(cna(dw, y, groups=24, padding=2))
    gate = F.silu(se.layers[1](y.mean((2, 3), keepdim=True)))
    y = y * se.layers[3](gate).sigmoid()
    torch.testing.assert_close(block(X), cna(bottleneck, y) + X)


def test_inverted_bottleneck_decides_its_residual_when_constructed():
    """One pixel stays one pixel under any stride."""
    pixel = X[:, :, :1, :1]
    for given, residual in [
        ({}, True),
        ({"stride": 2}, False),
        ({"stride": (1, 2)}, False),
        ({"out_channels": 4}, False),
    ]:
        block = layers.InvertedBottleneck(**{"in_channels": 8, "out_channels": 8, **given}, norm_layer=None)
        inside = block.layers(pixel)
        torch.testing.assert_close(block(pixel), inside + pixel if residual else inside, rtol=0, atol=0)


def test_inverted_bottleneck_reduces_by_four_unless_told():
    def inside(**given: Any) -> int:
        return layers.InvertedBottleneck(8, 8, expansion_ratio=2, use_se=True, **given).layers.se.layers[1].out_channels

    assert (inside(), inside(se_reduction_ratio=8)) == (4, 2)


def test_squeeze_excitation_of_an_inverted_bottleneck_without_activations_keeps_its_own():
    block = layers.InvertedBottleneck(8, 8, use_se=True, activation=None)
    assert [type(each) for each in block.modules() if isinstance(each, (nn.ReLU, nn.Sigmoid))] == [nn.ReLU, nn.Sigmoid]


def test_squeeze_excitation():
    block = layers.SqueezeExcitation(8, 4)
    weights = block.layers[1](X.mean((2, 3), keepdim=True)).relu()
    torch.testing.assert_close(block(X), X * block.layers[3](weights).sigmoid())


def test_depth_sep_conv():
    block = layers.DepthSepConv2d(8, 6, stride=2)
    y = cna(block.dw, X, groups=8, padding=1, stride=2).relu()
    torch.testing.assert_close(block(X), cna(block.pw, y).relu())


@pytest.mark.parametrize("bias", [None, True, False])
@pytest.mark.parametrize("norm_layer", [None, nn.BatchNorm2d])
def test_bias_only_where_no_norm_follows_unless_told(bias, norm_layer):
    expected = norm_layer is None if bias is None else bias
    for block in (
        layers.ConvNormActivation(2, 3, 3, norm_layer=norm_layer, bias=bias),
        layers.DepthSepConv2d(2, 3, norm_layer=norm_layer, bias=bias),
    ):
        convs = [each for each in block.modules() if isinstance(each, nn.Conv2d)]
        assert [conv.bias is not None for conv in convs] == [expected] * len(convs)


def test_without_norm_and_activation():
    linear = {"norm_layer": None, "activation": None}
    assert [n for n, _ in layers.ConvNormActivation(2, 3, 3, **linear).named_children()] == ["conv"]
    x = X.double()
    for block in (layers.BottleneckBlock(8, 4, 8, **linear), layers.InvertedBottleneck(8, 8, **linear)):
        block.double()
        at_zero = block(torch.zeros_like(x))
        torch.testing.assert_close(block(x + x) - at_zero, 2 * (block(x) - at_zero))


@every_block
def test_device_and_dtype_are_those_of_everything(case):
    given = {"norm_layer": groups_of_two} if "norm_layer" in case.takes else {}
    module = case.built(device="meta", dtype=torch.float64, activation=nn.PReLU, **given)
    assert {(p.device.type, p.dtype) for p in module.parameters()} == {("meta", torch.float64)}
    with torch.device("meta"):
        module = case.built(device="cpu")
    assert {t.device.type for t in module.state_dict().values()} == {"cpu"}
    assert module(X).shape == (2, *case.out)


# ---------------------------------------------------------------------------------------------
# Activations


@every_block
def test_nothing_is_shared(case):
    made: list[nn.Module] = []

    def activation() -> nn.Module:
        made.append(nn.PReLU())
        return made[-1]

    module = case.built(activation=activation)
    paths = [each for _, each in module.named_modules(remove_duplicate=False)]
    assert len({id(each) for each in paths}) == len(paths)
    assert made
    assert {id(each) for each in made} <= {id(each) for each in paths}


@every_block
@pytest.mark.parametrize("normed", [True, False], ids=["norm", "no norm"])
def test_activations_in_place_change_nothing(case, normed):
    given = {} if normed else case.any_rank
    torch.manual_seed(1)
    usual = case.built(activation=nn.ReLU, **given)
    module = case.built(activation=in_place, **given)
    module.load_state_dict(usual.state_dict())
    outs, grads = [], []
    for each in (usual, module):
        leaf = X.clone().requires_grad_()
        x = leaf * 1  # autograd would refuse to have a leaf changed: this one can be
        out = each(x)
        assert torch.equal(x, X)
        assert x._version == 0
        loss(out).backward()
        outs.append(out)
        grads.append([leaf.grad, *(p.grad for p in each.parameters())])
    torch.testing.assert_close(outs[1], outs[0], rtol=0, atol=0)
    torch.testing.assert_close(grads[1], grads[0], rtol=0, atol=0)


@pytest.mark.parametrize("block", [layers.BottleneckBlock(8, 4, 8), layers.InvertedBottleneck(8, 8)])
def test_residuals_are_not_added_in_place(block):
    """Neither to the input nor to what a hook on `layers` may have kept."""
    kept: list[Tensor] = []
    block.layers.register_forward_hook(lambda module, args, output: kept.append(output))
    block(X)
    assert kept[0]._version == 0
    assert X._version == 0


@every_block
@pytest.mark.parametrize("wrong", [nn.ReLU(inplace=True), "relu", 3], ids=repr)
def test_an_activation_that_makes_nothing(case, wrong):
    with pytest.raises(TypeError, match="activation takes what makes a module") as error:
        case.built(activation=wrong)
    fix = "activation=lambda: nn.ReLU(inplace=True)" if isinstance(wrong, nn.Module) else "activation=nn.ReLU"
    assert str(error.value).endswith(f"To mend it:\n  {fix}")


def test_the_lazy_class_says_so_too():
    module = layers.LazyConvNormActivation(4, 3, norm_layer=nn.BatchNorm2d(4))
    with pytest.raises(TypeError, match=r"norm_layer=lambda channels: nn.BatchNorm2d\(channels\)"):
        module(X)
    assert is_lazy(module)


# ---------------------------------------------------------------------------------------------
# Ratios


@pytest.mark.parametrize("name", ["LazyReductionConv2d", "LazyReductionPointwiseConv2d", "LazyReductionDepthSepConv2d"])
def test_a_reduction_that_does_not_divide(name):
    given = {"kernel_size": 1} if name == "LazyReductionConv2d" else {}
    module = getattr(layers, name)(reduction_ratio=3, **given)
    with pytest.raises(InferenceError) as error:
        module(X)
    message = str(error.value)
    assert "reduction_ratio=3 does not divide 8 channels" in message
    assert "8 / 3 = 2.66667" in message
    assert "reduction_ratio=2  # or 1, 4, 8" in message
    assert is_lazy(module)
    assert module(X[:, :6]).shape[1] == 2


@pytest.mark.parametrize("name", ["LazyExpansionConv2d", "LazyExpansionPointwiseConv2d", "LazyExpansionDepthSepConv2d"])
def test_an_expansion_to_no_whole_number(name):
    given = {"kernel_size": 1} if name == "LazyExpansionConv2d" else {}
    module = getattr(layers, name)(expansion_ratio=1.3, **given)
    with pytest.raises(InferenceError) as error:
        module(X)
    message = str(error.value)
    assert "expansion_ratio=1.3 makes no whole number of channels of 8" in message
    assert "8 * 1.3 = 10.4" in message
    assert "expansion_ratio=10 / 8" in message
    assert module(torch.cat([X, X[:, :2]], dim=1)).shape[1] == 13


@pytest.mark.parametrize(("ratio", "out"), [(1, 8), (0.25, 2), (1.5, 12), (1.375, 11), (10 / 8, 10)])
def test_broken_ratios_that_fit(ratio, out):
    assert layers.LazyExpansionPointwiseConv2d(expansion_ratio=ratio)(X).shape[1] == out
    assert layers.LazyReductionPointwiseConv2d(reduction_ratio=8 / out)(X).shape[1] == out


@pytest.mark.parametrize("ratio", [0, -2, 16, 5])
def test_squeeze_excitation_of_too_few_channels(ratio):
    with pytest.raises(ValueError, match=f"reduction_ratio={ratio} does not divide 8 channels") as error:
        layers.SqueezeExcitation(8, ratio)
    assert "To mend it:\n  reduction_ratio=" in str(error.value)
    lazy = layers.LazySqueezeExcitation(ratio)
    with pytest.raises(ValueError, match=f"reduction_ratio={ratio} does not divide 8 channels"):
        lazy(X)
    assert is_lazy(lazy)


def test_squeeze_excitation_by_default_says_what_to_do():
    with pytest.raises(ValueError, match="reduction_ratio=8  # or 1, 2, 4"):
        layers.SqueezeExcitation(8)


def test_inverted_bottleneck_names_its_own_arguments():
    with pytest.raises(ValueError, match="se_reduction_ratio=5 does not divide 16 channels"):
        layers.InvertedBottleneck(8, 8, expansion_ratio=2, use_se=True, se_reduction_ratio=5)
    with pytest.raises(ValueError, match="se_reduction_ratio=4 does not divide 3 channels"):
        layers.InvertedBottleneck(3, 8, use_se=True)
    for wrong in (1.2, 1.001, 0, -1):
        with pytest.raises(ValueError, match=f"expansion_ratio={wrong} makes no whole number of channels of 8"):
            layers.InvertedBottleneck(8, 8, expansion_ratio=wrong)


# ---------------------------------------------------------------------------------------------
# NamedSequential


def test_named_sequential_keeps_names_and_order():
    module = layers.NamedSequential(b=nn.Linear(3, 2), a=nn.ReLU(), c=nn.Linear(2, 1))
    assert [name for name, _ in module.named_children()] == ["b", "a", "c"]
    assert list(module.state_dict()) == ["b.weight", "b.bias", "c.weight", "c.bias"]
    x = torch.ones(4, 3)
    torch.testing.assert_close(module(x), module.c(module.b(x).relu()))
    assert module[0] is module.b
    assert len(layers.NamedSequential()) == 0


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("of", ["eager", "scripted"])
def test_named_sequential_slices_to_the_same_children(of):
    relu = nn.ReLU()
    for module in (layers.NamedSequential(a=relu, b=nn.Tanh(), c=relu), layers.ConvNormActivation(8, 3, 3)):
        seen = torch.jit.script(module) if of == "scripted" else module
        part = seen[:2]
        assert type(part) is layers.NamedSequential
        assert len(part) == 2
        assert [name for name, _ in part.named_children()] == [name for name, _ in module.named_children()][:2]
        if of == "eager":
            assert list(part) == list(module)[:2]
    both = layers.NamedSequential(a=relu, b=nn.Tanh(), c=relu)[::2]
    assert [n for n, _ in both.named_children()] == ["a"]
    assert len(both) == 2


def test_named_sequential_refuses_what_torch_does():
    with pytest.raises(TypeError):
        layers.NamedSequential(a=nn.ReLU)
    for name in ("forward", "a.b", ""):
        with pytest.raises(KeyError):
            layers.NamedSequential(**{name: nn.ReLU()})
    with pytest.raises(TypeError):
        layers.NamedSequential(nn.ReLU())


def test_named_sequential_may_have_any_name():
    module = layers.NamedSequential(self=nn.ReLU(), modules_=nn.Tanh())
    assert [name for name, _ in module.named_children()] == ["self", "modules_"]


def test_lazy_layers_in_a_network_train():
    network = layers.NamedSequential(
        stem=layers.LazyConvNormActivation(8, kernel_size=4, stride=2),
        deep=layers.LazyBottleneckBlock(4, 16, activation=in_place),
        wide=layers.LazyInvertedBottleneck(16, expansion_ratio=2, use_se=True),
        less=layers.LazyReductionDepthSepConv2d(reduction_ratio=4),
        head=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    materialize(network, X)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    goal = torch.tensor([0, 3])
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        error = F.cross_entropy(network(X), goal)
        error.backward()
        optimizer.step()
        losses.append(error.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "name", ["layers", *(f"layers.{p.stem}" for p in sorted(Path(layers.__file__).parent.glob("[a-z]*.py")))]
)
def test_modules_export_what_they_say(name):
    module = importlib.import_module(f"lazify.{name}")
    assert all(hasattr(module, each) for each in module.__all__)
