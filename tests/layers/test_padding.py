"""Padding of the layers in `lazify.layers`."""

from __future__ import annotations

import math
import warnings

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from torch.nn import functional as F

from helpers.layer_cases import X
from lazify import layers

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
