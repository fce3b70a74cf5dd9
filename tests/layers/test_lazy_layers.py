"""`lazify.layers`: each lazy layer becomes its eager class; arguments and names as lazytorch's users know them."""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import io
import pickle
import typing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from helpers.layer_cases import BLOCKS, CASES, CHANNELS, X, every_case, groups_of_two, in_place, loss
from helpers.twins import assert_twins
from lazify import is_lazy, layers, materialize

# ---------------------------------------------------------------------------------------------
# Every lazy layer


def test_every_lazy_layer_has_a_case():
    assert {case.name for case in CASES} == {name for name in layers.__all__ if name.startswith("Lazy")}


def test_each_lazy_layer_is_one_call_of_lazify():
    """And `lazify.layers` imports only the public interface of lazify and its errors."""
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
def test_answers_to_its_public_name(case):
    cls = getattr(layers, case.name)
    assert (cls.__module__, cls.__name__, cls.__qualname__) == ("lazify.layers", case.name, case.name)
    assert pickle.loads(pickle.dumps(cls)) is cls
    assert repr(case.lazy()).startswith(f"{case.name}(")
    with pytest.raises(TypeError, match=rf"^{case.name}\.__init__\(\) got an unexpected keyword argument"):
        cls(no_such_argument=1)
    if case.eager.__module__ != "torch.nn.modules.conv":
        assert getattr(layers, case.eager.__name__) is case.eager
        assert case.eager.__module__ == "lazify.layers"
    assert pickle.loads(pickle.dumps(case.built())).state_dict().keys() == case.built().state_dict().keys()


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


@pytest.mark.filterwarnings("ignore:.*torch.jit")
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
    torch.testing.assert_close(torch.export.export(module, (X,), strict=False).module()(X), out)
    torch.testing.assert_close(torch.fx.symbolic_trace(module)(X), out)


@every_case
@pytest.mark.filterwarnings("ignore:.*torch.jit")
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
    called, still_lazy = case.lazy(), case.lazy()
    called(X)
    for module in (called, still_lazy):
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
    # a kernel of one pixel has nothing to pad, unless it is asked to
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
