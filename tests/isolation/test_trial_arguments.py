"""Arguments of every kind: a trial run gets copies, and the user's own are used once, in the real call."""

from __future__ import annotations

import array
import collections
import dataclasses
import io
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lazify import InferenceError, axis, lazify, materialize
from lazify import nn as lnn
from lazify._isolation import TrialMode
from lazify._isolation.copies import UncopyableError, copied


class Searched(nn.Module):
    def __init__(self, zzz: int, given: Any = None) -> None:
        super().__init__()
        self.fc = nn.Linear(zzz, 4)
        self.given = given

    def forward(self, x: Tensor, more: Any = None) -> Tensor:
        return self.fc(x)  # type: ignore[no-any-return]


def lazy(cls: type[nn.Module], *args: Any) -> nn.Module:
    return lazify(cls, exclude=["zzz"])(*args)


@pytest.mark.parametrize(
    "odd", [{1}, collections.deque([1]), array.array("i", [1]), np.ones(2), [np.ones(2)], range(3)]
)
def test_without_a_hash(odd: Any) -> None:
    for module in (lazy(Searched), lazy(Searched, odd)):
        assert list(module.parameters())
        assert module(torch.ones(2, 5), odd).shape == (2, 4)


def test_cyclic() -> None:
    tree: dict[str, Any] = {"parent": None}
    tree["child"] = [{"parent": tree}]
    for exclude in (["zzz"], {"zzz": axis(-1)}):
        assert lazify(Searched, exclude=exclude)(tree)(torch.ones(2, 5), tree).shape == (2, 4)
    model = nn.ModuleList([lnn.LazyLinear(3)])
    model.forward = lambda x, more: model[0](x)  # type: ignore[method-assign]
    materialize(model, torch.Size([2, 5]), tree)
    assert model[0].in_features == 5


class Graph:
    """Compares elementwise, has slots and no hash."""

    __slots__ = ("features", "log", "owner")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, features: Tensor) -> None:
        self.features, self.log, self.owner = features, [self.__class__], self

    def __eq__(self, other: Any) -> Any:
        return self.features == other.features


def test_an_object_whose_attributes_are_assigned() -> None:
    class Layer(Searched):
        def forward(self, graph: Graph) -> Tensor:  # type: ignore[override]
            graph.features = self.fc(graph.features)
            graph.log.append(Layer)
            return graph.owner.features

    graph = Graph(torch.ones(2, 5))
    out = lazy(Layer)(graph)
    assert out is graph.features
    assert len(graph.log) == 2


class Unwilling:
    """Cannot be copied: it is shared with the run, and brought back."""

    def __init__(self) -> None:
        self.lock, self.calls, self.kept = threading.Lock(), 0, []  # type: ignore[var-annotated]

    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("cannot be copied")

    def use(self, x: Tensor) -> Tensor:
        with self.lock:
            self.calls += 1
            self.kept.append(x)
        return x


def test_what_cannot_be_copied() -> None:
    class Layer(Searched):
        def forward(self, x: Tensor, more: Any) -> Tensor:
            return super().forward(more["it"].use(x))

    holder = {"it": Unwilling()}
    lazy(Layer)(torch.ones(2, 5), holder)
    assert holder["it"].calls == 1
    assert type(holder["it"].kept[0]) is Tensor


def test_iterators_are_copied_and_generators_refused_before_anything_is_consumed() -> None:
    class Layer(Searched):
        def forward(self, batches: Iterator[Tensor]) -> Tensor:  # type: ignore[override]
            return super().forward(next(batches))

    batches = [torch.ones(2, 5), torch.ones(2, 5) * 2]
    iterator = iter(batches)
    lazy(Layer)(iterator)
    assert next(iterator) is batches[1]
    generator = (each for each in batches)
    with pytest.raises(InferenceError, match="can be used only once"):
        lazy(Layer)(generator)
    assert len(list(generator)) == 2


def test_a_file_is_where_it_was(tmp_path: Any) -> None:
    class Layer(Searched):
        def forward(self, x: Tensor, more: Any) -> Tensor:
            self.read = more.readline()
            return super().forward(x)

    (tmp_path / "f").write_text("a\nb\n")
    for file in (io.StringIO("a\nb\n"), (tmp_path / "f").open("rb")):
        module = lazy(Layer)
        module(torch.ones(2, 5), file)
        assert module.read in ("a\n", b"a\n")
        file.close()


def test_given_modules_and_where_their_copies_come_from() -> None:
    given = nn.ModuleDict({"a": nn.Linear(2, 2)})
    given["b"] = given["a"]
    sources: dict[int, Any] = {}
    twin = copied({"given": [given]}, None, sources)["given"][0]
    assert twin["a"] is twin["b"]
    assert sources[id(twin["a"])][0] is given["a"]
    assert sources[id(twin["a"].weight)][0] is given["a"].weight
    with pytest.raises(UncopyableError):
        copied([given, (x for x in ())], None)


def test_torchs_lazy_layers_given_and_made_inside() -> None:
    class Layer(nn.Module):
        def __init__(self, zzz: int, head: nn.Module, dummy: bool = False) -> None:
            super().__init__()
            self.conv, self.head, self.own = nn.Conv2d(zzz, 4, 3), head, nn.LazyLinear(2)
            if dummy:
                self(torch.zeros(1, zzz, 8, 8))

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.own(self.conv(x).flatten(1)))  # type: ignore[no-any-return]

    for dummy in (False, True):
        head = nn.LazyLinear(3)
        module = lazify(Layer, exclude=["zzz"])(head, dummy=dummy)
        assert list(module.parameters())
        assert head.has_uninitialized_params()
        assert module(torch.ones(2, 5, 8, 8)).shape == (2, 3)
        assert (module.own.in_features, head.in_features) == (144, 2)


@dataclasses.dataclass
class Batch:
    x: Tensor
    sizes: list[int] = dataclasses.field(init=False, default_factory=list)


class Output(collections.OrderedDict):  # type: ignore[type-arg]
    __getattr__ = collections.OrderedDict.__getitem__


def _batch(x: Any) -> Any:
    return Batch(x)


def _output(x: Any) -> Any:
    return Output(x=x)


@pytest.mark.parametrize("make", [_batch, _output])
@pytest.mark.parametrize("x", [torch.ones(2, 5), torch.ones(2, 5, device="meta"), torch.Size([2, 5])])
def test_materialize_takes_what_a_call_takes(make: Callable[[Any], Any], x: Any) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = lnn.LazyLinear(4)

        def forward(self, batch: Any) -> Tensor:
            return self.fc(batch.x)  # type: ignore[no-any-return]

    model = materialize(Model(), make(x))
    assert model.fc.in_features == 5
    assert not model.fc.weight.is_meta


def test_constructors_that_read_values_need_no_real_memory() -> None:
    class Layer(Searched):
        def __init__(self, zzz: int) -> None:
            super().__init__(zzz)
            self.rates = torch.linspace(0, 0.1, 4).tolist()
            offsets = torch.arange(4)[None] - torch.arange(4)[:, None]
            self.facts = (int(offsets.max()), torch.zeros(3).numpy().tolist(), np.asarray(torch.eye(2)).sum())
            self.kinds = torch.unique(torch.tensor([1, 1, 2])).numel()

    module = lazy(Layer)
    assert list(module.parameters())
    module(torch.ones(2, 5))
    assert module.facts == (3, [0, 0, 0], 2)
    assert module.kinds == 2


def test_random_generators_are_copied_with_their_state() -> None:
    class Holder:
        def __init__(self) -> None:
            self.generators = [torch.Generator().manual_seed(3)]

    class Layer(Searched):
        def __init__(self, zzz: int, holder: Holder) -> None:
            super().__init__(zzz)
            self.drawn = torch.randn(2, generator=holder.generators[0])

    with TrialMode() as mode:
        given = Holder()
        twin = copied(given, mode)
    assert twin.generators[0] is not given.generators[0]
    assert torch.equal(twin.generators[0].get_state(), given.generators[0].get_state())
    module = lazy(Layer, given)
    assert list(module.parameters())
    module(torch.ones(2, 5))
    assert torch.equal(module.drawn, torch.randn(2, generator=torch.Generator().manual_seed(3)))
