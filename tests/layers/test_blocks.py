"""What each block of `lazify.layers` computes, its activations and its ratios."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.layer_cases import X, every_block, groups_of_two, in_place, loss
from lazify import InferenceError, is_lazy, layers

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


def test_inverted_bottleneck_reduces_by_four_by_default():
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
def test_bias_by_default_only_where_no_norm_follows(bias, norm_layer):
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
    assert str(error.value).endswith(f"Fix:\n  {fix}")


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
    assert "Fix:\n  reduction_ratio=" in str(error.value)
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
