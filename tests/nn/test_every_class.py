"""Every lazy class of `lazify.nn` at work, explained, and pickled by its name."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import torch.nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils._pytree import tree_leaves

from helpers.torch_nn import EAGER, LAZIES, constructor
from helpers.twins import assert_twins
from lazify import explain, is_lazy, materialize, nn

pytestmark = [
    pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning"),  # torch's own, before 2.7
    pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning"),
]

Module = torch.nn.Module


# ---------------------------------------------------------------------------------------------
# Each class at work


@dataclass(frozen=True)
class Use:
    """A lazy class, its arguments, what the call will determine, and calls that do: all give the same."""

    name: str
    args: tuple[Any, ...]
    inferred: dict[str, Any]
    calls: list[Callable[[], tuple[Any, ...]]]
    options: dict[str, Any] = field(default_factory=dict)
    training: bool = True


def on(*shapes: tuple[int, ...]) -> Callable[[], tuple[torch.Tensor, ...]]:
    return lambda: tuple(torch.randn(shape) for shape in shapes)


def self_attention(*shape: int) -> Callable[[], tuple[torch.Tensor, ...]]:
    return lambda: (torch.randn(shape),) * 3


def packed() -> tuple[Any, ...]:
    return (pack_sequence([torch.randn(4, 6), torch.randn(2, 6)]),)


SMALL = {"nhead": 2, "dim_feedforward": 8, "dropout": 0.0}
TALL = {**SMALL, "num_encoder_layers": 1, "num_decoder_layers": 1}
RECURRENT = [on((5, 2, 6)), on((5, 6)), packed]
USES = [
    Use("LazyLinear", (3,), {"in_features": 6}, [on((4, 6)), on((6,)), on((2, 3, 4, 6)), on((0, 6))]),
    Use("LazyBilinear", (3,), {"in1_features": 6, "in2_features": 5}, [on((4, 6), (4, 5)), on((6,), (5,))]),
    Use("LazyConv1d", (3, 2), {"in_channels": 6}, [on((4, 6, 5)), on((6, 5)), on((0, 6, 5))]),
    Use("LazyConv2d", (3, 2), {"in_channels": 6}, [on((4, 6, 5, 4)), on((6, 5, 4))]),
    Use("LazyConv3d", (3, 2), {"in_channels": 6}, [on((4, 6, 5, 4, 3)), on((6, 5, 4, 3))]),
    Use("LazyConvTranspose1d", (3, 2), {"in_channels": 6}, [on((4, 6, 5)), on((6, 5))]),
    Use("LazyConvTranspose2d", (3, 2), {"in_channels": 6}, [on((4, 6, 5, 4)), on((6, 5, 4))]),
    Use("LazyConvTranspose3d", (3, 2), {"in_channels": 6}, [on((4, 6, 5, 4, 3)), on((6, 5, 4, 3))]),
    Use("LazyBatchNorm1d", (), {"num_features": 6}, [on((4, 6)), on((4, 6, 5))]),
    Use("LazyBatchNorm2d", (), {"num_features": 6}, [on((4, 6, 5, 4))]),
    Use("LazyBatchNorm3d", (), {"num_features": 6}, [on((4, 6, 5, 4, 3))]),
    # trains on an accelerator only
    Use("LazySyncBatchNorm", (), {"num_features": 6}, [on((4, 6)), on((4, 6, 5, 4))], training=False),
    Use("LazyInstanceNorm1d", (), {"num_features": 6}, [on((4, 6, 5)), on((6, 5))], {"affine": True}),
    Use("LazyInstanceNorm2d", (), {"num_features": 6}, [on((4, 6, 5, 4)), on((6, 5, 4))], {"affine": True}),
    Use("LazyInstanceNorm3d", (), {"num_features": 6}, [on((4, 6, 5, 4, 3)), on((6, 5, 4, 3))], {"affine": True}),
    Use("LazyGroupNorm", (2,), {"num_channels": 6}, [on((4, 6)), on((4, 6, 5, 4))]),
    Use("LazyLayerNorm", (), {"normalized_shape": 6}, [on((4, 6)), on((6,)), on((4, 5, 6))]),
    Use("LazyRMSNorm", (), {"normalized_shape": 6}, [on((4, 6)), on((6,)), on((4, 5, 6))]),
    Use("LazyPReLU", (), {"num_parameters": 6}, [on((4, 6)), on((4, 6, 5, 4))]),
    Use("LazyPReLU", (), {"num_parameters": 1}, [on((6,))]),
    Use("LazyRNN", (3,), {"input_size": 6}, RECURRENT),
    Use("LazyLSTM", (3,), {"input_size": 6}, RECURRENT),
    Use("LazyGRU", (3,), {"input_size": 6}, RECURRENT),
    Use("LazyLSTM", (3, 2), {"input_size": 6}, [on((2, 5, 6)), packed], {"batch_first": True, "bidirectional": True}),
    Use("LazyRNNCell", (3,), {"input_size": 6}, [on((4, 6)), on((6,)), on((4, 6), (4, 3))]),
    Use("LazyLSTMCell", (3,), {"input_size": 6}, [on((4, 6)), on((6,))]),
    Use("LazyGRUCell", (3,), {"input_size": 6}, [on((4, 6)), on((6,)), on((4, 6), (4, 3))]),
    Use(
        "LazyMultiheadAttention",
        (2,),
        {"embed_dim": 6},
        [self_attention(4, 2, 6), self_attention(4, 6), on((4, 2, 6), (3, 2, 6), (3, 2, 6))],
    ),
    Use(
        "LazyMultiheadAttention",
        (2,),
        {"embed_dim": 6},
        [on((4, 2, 6), (3, 2, 5), (3, 2, 7)), on((4, 6), (3, 5), (3, 7))],
        {"kdim": 5, "vdim": 7},
    ),
    Use("LazyTransformerEncoderLayer", (), {"d_model": 6}, [on((4, 2, 6)), on((4, 6))], SMALL),
    Use("LazyTransformerDecoderLayer", (), {"d_model": 6}, [on((4, 2, 6), (3, 2, 6)), on((4, 6), (3, 6))], SMALL),
    Use("LazyTransformer", (), {"d_model": 6}, [on((4, 2, 6), (3, 2, 6)), on((4, 6), (3, 6))], TALL),
    Use(
        "LazyAdaptiveLogSoftmaxWithLoss",
        (10, [3, 6], 2.0),
        {"in_features": 6},
        [lambda: (torch.randn(4, 6), torch.tensor([0, 4, 9, 2])), lambda: (torch.randn(6), torch.tensor(4))],
    ),
    Use(
        "LazyLinearCrossEntropyLoss",
        (3,),
        {"in_features": 6},
        [lambda: (torch.randn(4, 6), torch.tensor([0, 1, 2, 0])), lambda: (torch.randn(6), torch.tensor(1))],
    ),
]
USES = [use for use in USES if use.name in LAZIES]  # an older torch lacks some
CALLS = [
    pytest.param(use, make, id=f"{use.name}-{'-'.join(map(str, use.inferred.values()))}-{at}")
    for use in USES
    for at, make in enumerate(use.calls)
]


def test_every_lazy_class_is_used() -> None:
    assert {use.name for use in USES} == set(LAZIES)


def eager_of(use: Use) -> Module:
    parameters = list(constructor(EAGER[use.name.removeprefix("Lazy")]).parameters)[1:]
    if "mode" in parameters:  # RNNBase
        parameters.remove("mode")
    if "num_chunks" in parameters:  # RNNCellBase
        parameters.remove("num_chunks")
    inferred = {each.name for each in explain(LAZIES[use.name]).parameters if each.rule}
    names = [name for name in parameters if name not in inferred]
    given = dict(zip(names, use.args, strict=False))
    torch.manual_seed(1)
    return EAGER[use.name.removeprefix("Lazy")](**use.inferred, **given, **use.options).train(use.training)


@pytest.mark.parametrize(("use", "make"), CALLS)
def test_one_call_makes_it_the_eager_module(use: Use, make: Callable[[], tuple[Any, ...]]) -> None:
    """The exact class, parameters bit for bit, output and random state, and nothing of laziness left."""
    call = make()
    module = getattr(nn, use.name)(*use.args, **use.options).train(use.training)
    assert is_lazy(module)
    assert isinstance(module, EAGER[use.name.removeprefix("Lazy")])
    twin = eager_of(use)
    theirs = twin(*call)
    state = torch.get_rng_state()
    torch.manual_seed(1)
    ours = module(*call)
    assert torch.equal(torch.get_rng_state(), state)
    assert type(module) is type(twin) is EAGER[use.name.removeprefix("Lazy")]
    assert_twins(module, twin)
    assert type(ours) is type(theirs)
    for one, other in zip(tree_leaves(ours), tree_leaves(theirs), strict=True):
        if isinstance(other, PackedSequence):
            one, other = one.data, other.data
        assert one is other is None or torch.equal(one, other)


@pytest.mark.parametrize("use", USES, ids=lambda use: use.name)
def test_materialize_makes_it_from_shapes(use: Use) -> None:
    shapes = [x.shape if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in use.calls[0]()]
    module = getattr(nn, use.name)(*use.args, **use.options).train(use.training)
    torch.manual_seed(1)
    assert materialize(module, *shapes) is module
    assert_twins(module, eager_of(use))


@pytest.mark.parametrize("use", USES, ids=lambda use: use.name)
def test_it_is_explained(use: Use) -> None:
    explanation = str(explain(getattr(nn, use.name)))
    assert all(name in explanation for name in use.inferred)
    shown = inspect.signature(getattr(nn, use.name)).parameters
    assert not set(use.inferred) & set(shown)
    assert use.name in repr(getattr(nn, use.name)(*use.args, **use.options))


def test_a_packed_sequence_comes_back_packed() -> None:
    for lazy in (nn.LazyRNN, nn.LazyLSTM, nn.LazyGRU):
        output, _ = lazy(3)(*packed())
        assert isinstance(output, PackedSequence)


# ---------------------------------------------------------------------------------------------
# Found by name: in a pickle, and in a process that has not imported it yet


@pytest.mark.parametrize("name", LAZIES)
def test_the_class_is_pickled_by_its_name(name: str) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        pickled = pickle.dumps(getattr(nn, name), protocol)
        assert pickle.loads(pickled) is getattr(nn, name)
    assert len(pickled) < 80  # two names


LOADED = """
import pickle, sys
by_name, instances = pickle.load(sys.stdin.buffer)
import torch
from lazify import is_lazy, nn
assert set(by_name) == {name for name in vars(nn) if name.startswith("Lazy")}
assert all(cls is getattr(nn, name) for name, cls in by_name.items())
for name, module in instances:
    assert is_lazy(module) and type(module) is getattr(nn, name), name
    assert repr(module).startswith(f"{name}("), repr(module)
linear, conv = instances[0][1], next(module for name, module in instances if name == "LazyConv2d")
assert linear(torch.ones(2, 5)).shape == (2, 3) and type(linear) is torch.nn.Linear
assert conv(torch.ones(2, 7, 4, 4)).shape == (2, 3, 3, 3) and conv.in_channels == 7
"""


def test_pickles_are_read_in_a_fresh_process() -> None:
    instances = [(use.name, getattr(nn, use.name)(*use.args, **use.options)) for use in USES]
    pickled = pickle.dumps((LAZIES, instances))
    code = [sys.executable, "-W", "error", "-W", "ignore:enable_nested_tensor:UserWarning", "-c", LOADED]
    done = subprocess.run(code, input=pickled, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_attention_drops_its_own_width_alone() -> None:
    attention = nn.LazyMultiheadAttention(2)
    assert {"kdim", "vdim"} <= inspect.signature(nn.LazyMultiheadAttention).parameters.keys()
    eager = torch.nn.MultiheadAttention(6, 2)
    assert [name for name, _ in attention.named_parameters()] == [name for name, _ in eager.named_parameters()]
    optimizer = torch.optim.SGD(attention.parameters(), lr=0.1)
    x = torch.randn(4, 2, 6)
    attention(x, x, x)[0].sum().backward()
    optimizer.step()
