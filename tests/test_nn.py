"""`lazify.nn` against the installed `torch.nn`: the same names, the same objects, and every lazy class."""

from __future__ import annotations

import ast
import doctest
import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils._pytree import tree_leaves
from twins import assert_twins

from lazify import explain, is_lazy, lazify, materialize, nn
from lazify._recipe.naming_conventions import guess_parameters
from lazify._recipe.torch_nn_table import KNOWN, table_row

pytestmark = [
    pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning"),  # torch's own, before 2.7
    pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning"),
]

Module = torch.nn.Module


def public(module: ModuleType) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if not name.startswith("_")}


def module_classes(module: ModuleType) -> dict[str, type[Module]]:
    return {n: v for n, v in public(module).items() if isinstance(v, type) and issubclass(v, Module)}


#: torch's own lazy classes, and lazify's: name -> class.
TORCHS = {n: cls for n, cls in module_classes(torch.nn).items() if issubclass(cls, LazyModuleMixin)}
LAZIES = {n: cls for n, cls in module_classes(nn).items() if n.startswith("Lazy")}
EAGER = {n: cls for n, cls in module_classes(torch.nn).items() if n not in TORCHS}


# ---------------------------------------------------------------------------------------------
# The names


def test_every_name_of_torch_is_here() -> None:
    """The very objects; but torch's lazy classes are lazify's."""
    expected_ = {name: lazify_of(name) if name in TORCHS else value for name, value in public(torch.nn).items()}
    assert [name for name, value in expected_.items() if getattr(nn, name, None) is not value] == []


def lazify_of(name: str) -> type[Module]:
    return lazify(getattr(torch.nn, name.removeprefix("Lazy")))


def test_nothing_but_torchs_names_and_the_lazy_classes_is_here() -> None:
    assert set(public(nn)) - set(public(torch.nn)) - set(LAZIES) == {"lazify"}


@pytest.mark.parametrize("name", LAZIES)
def test_every_lazy_class_is_what_lazify_makes_and_calls_itself_by_its_place(name: str) -> None:
    lazy = LAZIES[name]
    assert lazy is lazify_of(name)
    assert lazy.cls_to_become is EAGER[name.removeprefix("Lazy")]
    assert (lazy.__module__, lazy.__qualname__, lazy.__name__) == ("lazify.nn", name, name)
    assert not any(cls in TORCHS.values() for cls in lazy.__mro__)


def test_importing_torchs_module_by_another_way_gives_torchs() -> None:
    from lazify.nn import functional, init, utils

    assert (functional, init, utils) == (torch.nn.functional, torch.nn.init, torch.nn.utils)


def test_a_star_import_brings_them_all() -> None:
    there: dict[str, Any] = {}
    exec("from torch.nn import *\nfrom lazify.nn import *", there)
    assert all(there[name] is cls for name, cls in {**EAGER, **LAZIES}.items())


# ---------------------------------------------------------------------------------------------
# Every class that belongs here, also one that torch does not have yet

#: What the conventions take for an input size, and is none, or cannot be had from a call.
NOT_HERE: dict[str, str] = {
    "RNNBase": "has its forward from nobody: RNN, LSTM and GRU are the classes to call",
    "RNNCellBase": "has no forward: RNNCell, LSTMCell and GRUCell are the classes to call",
    "Unflatten": "its `dim` is the axis to unflatten, the user's choice",
}
#: Known by the table alone: the conventions see no required size.
BY_TABLE: dict[str, str] = {
    "Bilinear": "two numbered inputs, in1_features and in2_features",
    "PReLU": "num_parameters has a default, 1",
    "Transformer": "d_model has a default, 512",
}
#: Required parameters that no input determines: a class is not lazy for them.
CHOSEN = {
    *("decoder_layer", "encoder_layer", "num_layers", "module"),  # containers: what they hold may be lazy
    *("num_embeddings", "embedding_dim"),  # an input of indices shows neither the vocabulary nor the width
    *("output_size", "upscale_factor", "downscale_factor", "groups", "size"),
    *("kernel_size", "padding", "norm_type", "value", "threshold"),
}


def constructor(cls: type[Module]) -> inspect.Signature:
    """Of the nearest base that does not only pass `*args, **kwargs` on."""
    for base in cls.__mro__:
        if "__init__" in vars(base):
            signature = inspect.signature(vars(base)["__init__"])
            if len([p for p in signature.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]) > 1:
                return signature
    return inspect.Signature()


def required(cls: type[Module]) -> list[str]:
    parameters = list(constructor(cls).parameters.values())[1:]
    return [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def expected() -> set[str]:
    """The classes of the installed torch.nn that should be here, by a criterion that knows nothing of the table.

    A required parameter that by its name is an input's size; or torch has a lazy class of its own.
    """
    found = {name.removeprefix("Lazy") for name in module_classes(torch.nn) if name.startswith("Lazy")}
    for name, cls in module_classes(torch.nn).items():
        guessed = guess_parameters(constructor(cls), inspect.signature(cls.forward).parameters)
        if not name.startswith("Lazy") and set(guessed) & set(required(cls)):
            found.add(name)
    return found - set(NOT_HERE)


def here() -> set[str]:
    return {name.removeprefix("Lazy") for name in LAZIES}


def test_every_class_with_an_input_size_is_here() -> None:
    assert expected() - here() == set(), "torch.nn has grown: a row in lazify/known.py, a line in lazify/nn.py"
    assert here() - expected() == set(BY_TABLE)


def test_every_class_of_the_table_is_here() -> None:
    assert here() == {cls.__name__ for cls in KNOWN}
    described = {n for n, cls in EAGER.items() if table_row(cls, inspect.signature(cls.forward).parameters) is not None}
    assert described == here()


def test_every_lazy_class_of_torch_is_here() -> None:
    assert len(TORCHS) >= 13
    assert set(TORCHS) <= set(LAZIES)


def test_what_is_not_here_has_nothing_to_infer() -> None:
    """Every required parameter of every other class is one that the user must choose."""
    for name in set(EAGER) - here() - set(NOT_HERE):
        assert set(required(EAGER[name])) <= CHOSEN, name
        with pytest.raises(TypeError):
            pytest.fail(f"{lazify(EAGER[name])} belongs into lazify.nn")


def test_the_lists_of_exceptions_are_true() -> None:
    assert set(NOT_HERE) <= set(EAGER)
    assert {n for cls in EAGER.values() if cls.__name__ not in here() | set(NOT_HERE) for n in required(cls)} == CHOSEN
    without = [n for n in NOT_HERE if guess_parameters(constructor(EAGER[n]), ["input"])]
    assert without == list(NOT_HERE)


def test_a_class_that_torch_grows_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Conv4d(torch.nn.Conv3d):
        def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
            super().__init__(in_channels, out_channels, kernel_size)

    class Mixer(Module):
        def __init__(self, dim: int, depth: int = 2) -> None:
            super().__init__()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    class Odd(Module):
        def __init__(self, slots: int) -> None:
            super().__init__()

    monkeypatch.setattr(torch.nn, "Conv4d", Conv4d, raising=False)
    monkeypatch.setattr(torch.nn, "Mixer", Mixer, raising=False)
    monkeypatch.setattr(torch.nn, "LazySoftmax", torch.nn.Softmax, raising=False)
    assert expected() - here() == {"Conv4d", "Mixer", "Softmax"}
    assert not set(required(Odd)) <= CHOSEN


# ---------------------------------------------------------------------------------------------
# How the module is written: names that an editor, a type checker and a reader find

TREE = ast.parse(Path(str(nn.__file__)).read_text())


def test_every_lazy_class_is_written_out_as_one_line() -> None:
    written = []
    for node in TREE.body:
        if isinstance(node, ast.Assign):
            (target,) = node.targets
            assert isinstance(target, ast.Name)
            assert ast.unparse(node) == f"{target.id} = lazify({target.id.removeprefix('Lazy')})"
            written.append(target.id)
    assert written == sorted(LAZIES)


def test_the_module_is_a_docstring_imports_and_these_lines() -> None:
    docstring, *rest = TREE.body
    assert isinstance(docstring, ast.Expr)
    assert all(isinstance(node, (ast.ImportFrom, ast.Assign)) for node in rest)
    sources = {node.module for node in rest if isinstance(node, ast.ImportFrom)}
    assert {each for each in sources if each is None or not each.startswith("torch.nn")} == {"lazify"}
    names = {node.id for node in ast.walk(TREE) if isinstance(node, ast.Name)}
    assert not names & {"globals", "locals", "vars", "setattr", "exec", "eval", "__getattr__", "__import__"}
    assert "__getattr__" not in vars(nn)


def test_reexports_are_told_to_type_checkers() -> None:
    """`X as X` or `*`: else a strict checker takes the name for a private one of the module."""
    for node in TREE.body:
        if isinstance(node, ast.ImportFrom) and node.module != "lazify":
            assert all(each.name == "*" or each.asname == each.name for each in node.names), ast.unparse(node)


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
        {"embed_dim": 6, "kdim": 5, "vdim": 7},
        [on((4, 2, 6), (3, 2, 5), (3, 2, 7)), on((4, 6), (3, 5), (3, 7))],
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
    names = [name for name in parameters if name not in LAZIES[use.name]._lazify_recipe.rules]
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
    told = str(explain(getattr(nn, use.name)))
    assert all(name in told for name in use.inferred)
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


def test_the_example_in_the_docstring_of_the_module():
    test = doctest.DocTestParser().get_doctest(nn.__doc__, {}, "lazify.nn", None, 0)
    assert doctest.DocTestRunner().run(test).failed == 0
