"""`materialize`: a whole model from shapes alone, as the eager one would have been built."""

from __future__ import annotations

import dataclasses
import io
import logging
from contextlib import redirect_stderr
from typing import Any

import pytest
import torch
from torch import nn

from helpers.modules import ConvBlock, EagerConvBlock, LazyConv2d, LazyLinear, LazyOdd, Odd
from helpers.twins import assert_twins
from lazify import InferenceError, axis, is_lazy, lazify, materialize

IMAGES = torch.empty(4, 3, 16, 16, device="meta")


class Block(ConvBlock):
    """A lazy module between eager ones, each drawing random numbers; it counts its calls in an attribute."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels)
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return super().forward(x)


class EagerBlock(Block):
    def middle(self, channels: int) -> nn.Module:
        return EagerConvBlock.middle(self, channels)


LazyBlock = lazify(Block)


class Backwards(nn.Module):
    """Calls its modules in another order than they were made; one twice, one shared."""

    def __init__(self, lazy: bool) -> None:
        super().__init__()
        self.head = LazyOdd(3) if lazy else Odd(4 * 256, 3)
        self.second = LazyBlock(4) if lazy else EagerBlock(4, 4)
        self.drop = nn.Dropout(0.5)
        self.first = LazyBlock(4) if lazy else EagerBlock(3, 4)
        self.more = nn.ModuleDict({"again": self.second})

    def forward(self, x: torch.Tensor, *, scale: Any = None) -> torch.Tensor:
        x = self.more["again"](self.second(self.first(x)))
        if x.shape[-1] < 3:
            raise ValueError("too small")
        return self.head(self.drop(x))


def same(model: nn.Module, eager: nn.Module) -> None:
    state, expected = model.state_dict(), eager.state_dict()
    assert list(state) == list(expected)
    for name, tensor in expected.items():
        assert torch.equal(state[name], tensor), name


@pytest.mark.parametrize("ask", [False, True])
@pytest.mark.parametrize("shape", [IMAGES, torch.Size((4, 3, 16, 16)), torch.ones(4, 3, 16, 16)])
def test_the_weights_are_those_of_the_eager_model(shape: Any, ask: bool) -> None:
    torch.manual_seed(0)
    eager = Backwards(lazy=False)
    model = Backwards(lazy=True)
    placeholders = dict(model.named_parameters()) if False else {}
    torch.manual_seed(0)
    assert materialize(model, shape) is model
    same(model, eager)
    assert all(parameter is placeholders.get(name, parameter) for name, parameter in model.head.named_parameters())
    assert (model.first.calls, model.second.calls) == (0, 0)
    assert not any(map(is_lazy, model.modules()))
    x = torch.ones(4, 3, 16, 16)
    torch.manual_seed(1)
    out = model(x)
    torch.manual_seed(1)
    assert torch.equal(out, eager(x))


def test_no_random_numbers_but_the_initialization() -> None:
    torch.manual_seed(0)
    Backwards(lazy=False)
    after_eager = torch.get_rng_state()
    model = Backwards(lazy=True)
    torch.manual_seed(0)
    materialize(model, IMAGES)
    assert torch.equal(torch.get_rng_state(), after_eager)


def test_placeholders_become_the_parameters() -> None:
    model = nn.Sequential(LazyBlock(4), nn.Flatten(), LazyLinear(2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    materialize(model, IMAGES)
    assert all(a is b for a, b in zip(model.parameters(), optimizer.param_groups[0]["params"], strict=True))
    model(torch.ones(4, 3, 16, 16)).sum().backward()
    optimizer.step()


def test_nothing_is_computed_and_no_buffer_is_touched() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(3)
            self.register_buffer("seen", torch.zeros(3))
            self.register_buffer("count", torch.zeros((), dtype=torch.long))
            self.lazy = LazyConv2d(2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.seen += 1
            self.count += 1
            self.last = x
            return self.lazy(self.norm(x))

    model = Counting()
    before = {name: (buffer, buffer.clone()) for name, buffer in model.named_buffers()}
    materialize(model, IMAGES)
    for name, buffer in model.named_buffers():
        if name in before:
            assert buffer is before[name][0]
            assert torch.equal(buffer, before[name][1])
    assert not hasattr(model, "last")
    assert model.training
    assert_twins(model.norm, nn.BatchNorm2d(3))


@dataclasses.dataclass
class Batch:
    image: torch.Tensor
    sizes: list[torch.Size]


def test_nested_arguments() -> None:
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = LazyLinear(2), LazyLinear(2), LazyLinear(2)

        def forward(self, batch: Batch, pair: tuple[torch.Tensor, dict[str, torch.Tensor]], flag: bool) -> Any:
            assert flag
            return self.a(batch.image) + self.b(batch.sizes[0]) + self.c(pair[1]["x"])

    model = materialize(
        Nested(),
        Batch(torch.empty(2, 3, device="meta"), [torch.Size((2, 4))]),
        pair=(torch.ones(1), {"x": torch.Size((2, 5))}),
        flag=True,
    )
    assert [m.in_features for m in (model.a, model.b, model.c)] == [3, 4, 5]


class WithBackbone(nn.Module):
    def __init__(self, features: int, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(features, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(x).flatten(1))


def test_a_module_given_to_a_lazy_one_is_not_touched() -> None:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    before = {name: each.clone() for name, each in backbone.state_dict().items()}
    own = [*backbone.parameters(), *backbone.buffers()]
    model = lazify(WithBackbone, exclude=["features"])(backbone=backbone)
    materialize(model, torch.ones(4, 3, 6, 6))
    assert model.backbone is backbone
    assert all(a is b for a, b in zip([*backbone.parameters(), *backbone.buffers()], own, strict=True))
    assert all(torch.equal(each, before[name]) for name, each in backbone.state_dict().items())
    assert all(module.training for module in model.modules())
    assert model(torch.ones(4, 3, 6, 6)).shape == (4, 3)


def test_lazy_at_the_top_and_nothing_lazy() -> None:
    assert materialize(LazyLinear(3), torch.Size((2, 5))).in_features == 5
    eager = nn.Linear(2, 3)
    assert materialize(eager, "anything") is eager


@pytest.mark.parametrize("device", ["meta", torch.device("meta")])
def test_where_the_parameters_go(device: Any) -> None:
    model = materialize(nn.Sequential(LazyBlock(4), nn.Flatten(), LazyLinear(2)), IMAGES, device=device)
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    model.to_empty(device="cpu")
    with torch.device("meta"):
        there = materialize(nn.Sequential(nn.Linear(5, 4), LazyLinear(2)), torch.Size((2, 5)))
    assert {parameter.device.type for parameter in there.parameters()} == {"meta"}


class Unreached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = LazyLinear(3), LazyLinear(4)
        self.list = nn.ModuleList([LazyBlock(2)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.used(x)


def test_what_the_call_does_not_reach() -> None:
    model = Unreached()
    with pytest.raises(InferenceError) as caught:
        materialize(model, torch.Size((2, 5)))
    assert str(caught.value).splitlines() == [
        "the call does not reach 2 lazy modules of the model",
        "  unused: LazyLinear(in_features=?, out_features=4)",
        "  list.0: LazyBlock(in_channels=?, out_channels=2)",
        "Fix:",
        "  materialize(model, ..., strict=False)  # they stay lazy",
    ]
    assert is_lazy(model.used)
    materialize(model, torch.Size((2, 5)), strict=False)
    assert [is_lazy(m) for m in (model.used, model.unused, model.list[0])] == [False, True, True]


class Valued(nn.Module):
    """Its forward branches on values."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.drop, self.second = LazyLinear(3), nn.BatchNorm1d(3), nn.Dropout(), LazyLinear(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.drop(self.norm(self.first(x)))
        if y.sum() > 1e9:
            return y
        return self.second(y)


def test_a_given_module_keeps_its_mode_in_a_real_run() -> None:
    class Branching(nn.Module):
        def __init__(self, in_features: int, norm: nn.Module) -> None:
            super().__init__()
            self.linear, self.norm = nn.Linear(in_features, 3), norm

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.linear(x)
            return self.norm(y) if y.sum() < 1e9 else y

    norm = nn.BatchNorm1d(3)
    model = materialize(lazify(Branching)(norm=norm), torch.ones(2, 5))
    assert (norm.training, model.training, norm.num_batches_tracked.item()) == (True, True, 0)
    assert_twins(norm, nn.BatchNorm1d(3))


@pytest.mark.parametrize("x", [torch.empty(2, 5, device="meta"), torch.ones(2, 5)])
def test_a_forward_that_depends_on_values(x: torch.Tensor, caplog: pytest.LogCaptureFixture) -> None:
    model = Valued()
    before = torch.get_rng_state()
    with caplog.at_level(logging.INFO, "lazify"):
        torch.manual_seed(0)
        materialize(model, x)
    assert any("fails on fakes" in each.message for each in caplog.records)
    torch.manual_seed(0)
    assert torch.equal(model.first.weight, nn.Linear(5, 3).weight)
    assert torch.equal(model.second.weight, nn.Linear(3, 4).weight)
    assert (model.training, model.norm.training, model.second.training) == (True, True, True)
    assert_twins(model.norm, nn.BatchNorm1d(3))
    torch.set_rng_state(before)


def test_a_wrong_input_changes_nothing() -> None:
    model = nn.Sequential(LazyLinear(3), nn.Linear(4, 5))
    placeholders = list(model.parameters())
    with pytest.raises(RuntimeError):
        materialize(model, torch.Size((2, 5)))
    assert is_lazy(model[0])
    assert all(a is b for a, b in zip(model.parameters(), placeholders, strict=True))
    model[1] = nn.Linear(3, 5)
    materialize(model, torch.Size((2, 5)))


def test_an_inference_error_names_the_path() -> None:
    model = nn.Sequential(nn.ReLU(), nn.ModuleDict({"deep": nn.ReLU()}), lazify(nn.BatchNorm2d)())
    model[1].forward = lambda x: x
    with pytest.raises(InferenceError) as caught:
        materialize(model, torch.Size((5,)))
    assert str(caught.value).splitlines()[0] == (
        "the call does not determine 'num_features' of BatchNorm2d, at '2' in the model"
    )


def test_one_line_of_log_each(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "lazify"):
        materialize(nn.Sequential(LazyBlock(4)), IMAGES)
    assert sorted(each.message for each in caplog.records) == [
        "LazyBlock became Block with {'in_channels': 3}",
        "LazyConv2d became Conv2d with {'in_channels': 4}",
    ]


def test_a_failure_half_way_makes_nothing_real() -> None:
    class Failing(nn.Module):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 2)
            if type(self.linear.weight.data) is torch.Tensor:  # not in the trial run
                raise ValueError("no")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x)

    model = nn.Sequential(LazyLinear(3), lazify(Failing, exclude={"in_features": axis(-1)})())
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            materialize(model, torch.Size((2, 5)))
        assert all(map(is_lazy, model))


def test_what_was_done_before() -> None:
    model = nn.Sequential(LazyLinear(3), LazyOdd(2))
    model.double()
    model[1].eval()
    seen: list[torch.dtype] = []
    model.apply(lambda module: seen.append(module.training))
    handle = model[0].register_forward_pre_hook(lambda module, args: (args[0].flatten(1),))
    materialize(model, torch.empty(2, 4, 5, dtype=torch.float64, device="meta"))
    assert model[0].in_features == 20
    assert (model[0].weight.dtype, model[1].training) == (torch.float64, False)
    handle.remove()
    assert not model[0]._forward_pre_hooks


def test_progress() -> None:
    with redirect_stderr(io.StringIO()) as err:
        materialize(nn.Sequential(LazyLinear(3), LazyLinear(4)), torch.Size((2, 5)), progress=True)
    try:
        import tqdm  # noqa: F401
    except ImportError:
        assert err.getvalue() == ""
    else:
        assert "materialize" in err.getvalue()


@pytest.mark.parametrize(
    "make",
    [
        lambda: (lazify(nn.LSTM)(4), (torch.Size((5, 2, 3)),)),
        lambda: (lazify(nn.MultiheadAttention)(num_heads=2), (torch.Size((5, 2, 4)),) * 3),
        lambda: (
            lazify(nn.Transformer)(nhead=2, num_encoder_layers=1, num_decoder_layers=1),
            (torch.Size((5, 2, 8)),) * 2,
        ),
        lambda: (
            nn.Sequential(nn.Embedding(9, 4), LazyLinear(3)),
            (torch.empty(2, 3, dtype=torch.long, device="meta"),),
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_classes_of_torch(make: Any) -> None:
    model, args = make()
    materialize(model, *args)
    assert not any(map(is_lazy, model.modules()))
