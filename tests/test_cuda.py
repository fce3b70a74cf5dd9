"""What only an accelerator can show: parameters follow the input's device, explicit choices win."""

import pytest
import torch
from torch import nn

from lazify import axis, is_lazy, lazify

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

LazyLinear = lazify(nn.Linear)
LazyConv2d = lazify(nn.Conv2d)


class NoDevice(nn.Module):
    """A constructor without `device`, with a buffer, a plain tensor and something made from numpy."""

    def __init__(self, in_features: int, out_features: int = 4) -> None:
        super().__init__()
        self.fc = nn.Linear(in_features, out_features)
        self.register_buffer("scale", torch.ones(in_features))
        self.register_buffer("copied", torch.from_numpy(torch.arange(in_features).numpy()).float())
        self.plain = torch.linspace(0.1, 1.0, in_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x * self.scale * self.plain + self.copied)


LazyNoDevice = lazify(NoDevice)


def on_cuda(module: nn.Module) -> bool:
    return all(t.device.type == "cuda" for t in (*module.parameters(), *module.buffers()))


@pytest.mark.parametrize("make", [lambda: LazyLinear(4), lambda: LazyNoDevice()])
def test_parameters_follow_the_input(make):
    module = make()
    out = module(torch.randn(3, 7, device="cuda"))
    assert on_cuda(module)
    assert out.device.type == "cuda"
    out.sum().backward()
    assert all(p.grad is not None for p in module.parameters())


def test_plain_tensors_follow_too():
    module = LazyNoDevice()
    module(torch.randn(3, 7, device="cuda"))
    assert module.plain.device.type == "cuda"


def test_seed_parity_on_the_device():
    torch.manual_seed(0)
    eager = nn.Linear(7, 4, device="cuda")
    torch.manual_seed(0)
    lazy = LazyLinear(4)
    lazy(torch.randn(3, 7, device="cuda", generator=torch.Generator("cuda").manual_seed(1)))
    assert torch.equal(lazy.weight, eager.weight)
    assert torch.equal(lazy.bias, eager.bias)


def test_explicit_device_wins():
    module = LazyLinear(4).to("cpu")
    with pytest.raises(RuntimeError, match="device"):
        module(torch.randn(3, 7, device="cuda"))
    assert is_lazy(module)
    module = LazyLinear(4, device="cpu")
    with pytest.raises(RuntimeError, match="device"):
        module(torch.randn(3, 7, device="cuda"))


@pytest.mark.parametrize("move", [lambda m: m.cuda(), lambda m: m.to("cuda"), lambda m: nn.Sequential(m).cuda()[0]])
def test_moved_before_the_first_call_is_as_the_eager_module(move):
    torch.manual_seed(0)
    eager = move(nn.Linear(7, 4))
    torch.manual_seed(0)
    lazy = move(LazyLinear(4))
    lazy(torch.randn(3, 7, device="cuda", generator=torch.Generator("cuda").manual_seed(1)))
    assert torch.equal(lazy.weight, eager.weight)
    assert lazy.weight.device == eager.weight.device


def test_half_keeps_following():
    module = LazyConv2d(8, 3).half()
    module(torch.randn(2, 3, 8, 8, device="cuda", dtype=torch.half))
    assert module.weight.device.type == "cuda"
    assert module.weight.dtype is torch.half


def test_autocast_and_default_device():
    module = LazyLinear(4)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert module(torch.randn(3, 7, device="cuda")).dtype is torch.bfloat16
    assert module.weight.dtype is torch.float32
    module = LazyLinear(4)
    with torch.device("cuda"):
        module(torch.randn(3, 7, device="cpu"))
    assert module.weight.device.type == "cpu"
    module = LazyLinear(4)
    with torch.device("cuda"):
        module(torch.randn(3, 7))
    assert module.weight.device.type == "cuda"


def test_random_state_after_a_hook_changed_the_input():
    """Constructed twice, with the random numbers of one construction."""
    torch.manual_seed(0)
    eager = nn.Linear(14, 4, device="cuda")
    torch.manual_seed(0)
    x = torch.ones(3, 7, device="cuda")
    lazy = LazyLinear(4)
    lazy.register_forward_pre_hook(lambda m, args: (torch.cat([args[0], args[0]], -1),))
    lazy(x)
    assert torch.equal(lazy.weight, eager.weight)


def test_first_axis_rule_on_a_side_input():
    class Cross(nn.Module):
        def __init__(self, query_dim: int, context_dim: int) -> None:
            super().__init__()
            self.q, self.k = nn.Linear(query_dim, 5), nn.Linear(context_dim, 5)

        def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
            return self.q(x) @ self.k(context).transpose(-1, -2)

    module = lazify(Cross, exclude={"query_dim": axis(-1), "context_dim": axis(-1, of="context")})()
    module(torch.randn(2, 3, 7, device="cuda"), torch.randn(2, 5, 9, device="cuda"))
    assert on_cuda(module)
