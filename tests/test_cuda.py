"""What only an accelerator can show: devices, random streams, autocast, memory.

On a machine with a CUDA device: `python -m pytest tests/test_cuda.py`.
"""

import copy
import gc
import pickle

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from lazify import InferenceError, axis, is_lazy, lazify, materialize

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


# ---------------------------------------------------------------------------------------------
# Searches


class Flat(nn.Module):
    """A size that the module computes inside, and one whose name says nothing."""

    def __init__(self, zzz: int, flat_features: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(zzz, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(flat_features, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.drop(self.norm(self.conv(x)).relu()).flatten(1))


LazyFlat = lazify(Flat, exclude=["zzz", "flat_features"])


def images() -> torch.Tensor:
    return torch.randn(2, 3, 8, 8, device="cuda", generator=torch.Generator("cuda").manual_seed(1))


def states() -> list[torch.Tensor]:
    return [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]


def test_a_search_finds_the_values_of_the_cpu_and_builds_on_the_device():
    module = LazyFlat()
    x = images()
    kept = x.clone()
    out = module(x)
    assert (module.conv.in_channels, module.fc.in_features) == (3, 8 * 6 * 6)
    assert on_cuda(module)
    assert out.device.type == "cuda"
    assert torch.equal(x, kept)
    assert module.norm.num_batches_tracked == 1


def test_a_search_draws_nothing_from_any_stream():
    torch.manual_seed(0)
    eager = Flat(3, 8 * 6 * 6).to("cuda")
    expected = states()
    torch.manual_seed(0)
    lazy = LazyFlat().to("cuda")
    lazy.eval()
    eager.eval()
    out = lazy(images())
    assert all(map(torch.equal, states(), expected))
    for mine, its in zip(lazy.state_dict().values(), eager.state_dict().values(), strict=True):
        assert torch.equal(mine, its)
    assert torch.equal(out, eager(images()))


def test_a_failed_search_leaves_the_streams_and_the_memory():
    class Refuses(nn.Module):
        def __init__(self, zzz: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(zzz, zzz))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise ValueError("never")

    module = lazify(Refuses, exclude=["zzz"])()
    x, before = images(), states()
    torch.cuda.synchronize()
    allocated = torch.cuda.memory_allocated()
    with pytest.raises((ValueError, InferenceError)):
        module(x)
    assert is_lazy(module)
    assert all(map(torch.equal, states(), before))
    gc.collect()
    assert torch.cuda.memory_allocated() == allocated


# ---------------------------------------------------------------------------------------------
# Random streams: one of the CPU, and one of each device


def test_each_stream_advances_as_for_the_eager_module():
    """Built on the device: its stream advances, and the CPU's does not."""
    torch.manual_seed(0)
    eager = nn.Linear(7, 4, device="cuda")
    expected = states()
    torch.manual_seed(0)
    lazy = LazyLinear(4)
    lazy(torch.ones(3, 7, device="cuda"))
    assert torch.equal(lazy.weight, eager.weight)
    assert all(map(torch.equal, states(), expected))


def test_built_on_the_cpu_and_moved_draws_from_the_cpu():
    torch.manual_seed(0)
    before = torch.cuda.get_rng_state()
    lazy = LazyLinear(4).cuda()
    lazy(torch.ones(3, 7, device="cuda"))
    assert torch.equal(torch.cuda.get_rng_state(), before)
    torch.manual_seed(0)
    assert torch.equal(lazy.weight, nn.Linear(7, 4).cuda().weight)


@pytest.mark.parametrize("reentrant", [False, True])
def test_dropout_that_is_recomputed(reentrant):
    """The gradient is that of the numbers that the first run dropped."""
    model = nn.Sequential(LazyLinear(4), nn.Dropout(0.5))
    x = torch.ones(3, 5, device="cuda", requires_grad=True)
    y = checkpoint(model, x, use_reentrant=reentrant)
    y.sum().backward()
    torch.testing.assert_close(x.grad, ((y != 0) * 2.0) @ model[0].weight.detach())


needs_two = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")


@needs_two
def test_the_second_device_has_a_stream_of_its_own():
    torch.manual_seed(0)
    first = torch.cuda.get_rng_state(0)
    lazy = LazyLinear(4)
    lazy(torch.ones(3, 7, device="cuda:1"))
    assert lazy.weight.device == torch.device("cuda:1")
    assert torch.equal(torch.cuda.get_rng_state(0), first)
    torch.manual_seed(0)
    assert torch.equal(lazy.weight, nn.Linear(7, 4, device="cuda:1").weight)


@needs_two
def test_a_search_on_the_second_device():
    module = LazyFlat()
    module(images().to("cuda:1"))
    assert {each.device for each in (*module.parameters(), *module.buffers())} == {torch.device("cuda:1")}


# ---------------------------------------------------------------------------------------------
# Autocast


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_search_under_autocast(dtype):
    module = LazyFlat()
    with torch.autocast("cuda", dtype=dtype):
        out = module(images())
    assert out.dtype is dtype
    assert all(each.dtype is torch.float32 for each in module.parameters())
    out.float().sum().backward()
    assert all(each.grad is not None and each.grad.dtype is torch.float32 for each in module.parameters())


def test_training_with_a_gradient_scaler():
    model = nn.Sequential(LazyConv2d(4, 3), nn.Flatten(), LazyLinear(2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)  # before the first call
    scaler = torch.amp.GradScaler("cuda", init_scale=8.0)
    for _ in range(2):
        with torch.autocast("cuda", dtype=torch.float16):
            loss = model(images()).float().square().mean()
        before = [each.detach().clone() for each in model.parameters()]
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        assert not any(map(torch.equal, before, model.parameters()))


# ---------------------------------------------------------------------------------------------
# materialize


@pytest.mark.parametrize("x", [torch.Size((2, 3, 8, 8)), torch.empty(2, 3, 8, 8, device="meta")], ids=["size", "meta"])
def test_materialize_on_the_device(x):
    torch.manual_seed(0)
    with torch.device("cuda"):
        eager = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(288, 4))
    expected = states()
    torch.manual_seed(0)
    model = materialize(nn.Sequential(LazyConv2d(8, 3), nn.Flatten(), LazyLinear(4)), x, device="cuda")
    assert on_cuda(model)
    assert all(map(torch.equal, model.parameters(), eager.parameters()))
    assert all(map(torch.equal, states(), expected))
    assert model(images()).device.type == "cuda"


def test_materialize_follows_an_input_that_is_there():
    model = nn.Sequential(LazyConv2d(8, 3), nn.BatchNorm2d(8).cuda(), nn.Flatten(), LazyLinear(4))
    materialize(model, images())
    assert on_cuda(model)
    assert model[1].num_batches_tracked == 0


def test_materialize_computes_nothing_on_the_device():
    """Shapes alone: no memory but that of the parameters."""
    gc.collect()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    model = materialize(nn.Sequential(LazyLinear(1024), LazyLinear(16)), torch.Size((1_000_000, 1024)), device="cuda")
    size = sum(each.numel() * each.element_size() for each in model.parameters())
    assert torch.cuda.max_memory_allocated() - before <= 1.1 * size + 2**21


# ---------------------------------------------------------------------------------------------
# Memory


def test_the_first_call_of_a_large_layer_takes_it_once():
    """128 MiB of parameters: neither a second copy, nor a trial on real memory."""
    gc.collect()
    x = torch.randn(1, 4096, device="cuda")
    torch.nn.functional.linear(x, torch.ones(8, 4096, device="cuda"))  # cuBLAS has its workspace
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    module = LazyLinear(8192)
    module(x)
    size = sum(each.numel() * each.element_size() for each in module.parameters())
    assert torch.cuda.max_memory_allocated() - before <= 1.1 * size + 2**21
    assert torch.cuda.memory_allocated() - before <= size + 2**21


def test_a_search_takes_no_memory_of_the_device():
    gc.collect()
    x = torch.randn(2, 64, device="cuda")

    class Wide(nn.Module):
        def __init__(self, zzz: int) -> None:
            super().__init__()
            self.fc = nn.Linear(zzz, 65536)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x)

    torch.nn.functional.linear(x, torch.ones(8, 64, device="cuda"))
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    module = lazify(Wide, exclude=["zzz"])()
    out = module(x)
    size = sum(each.numel() * each.element_size() for each in (*module.parameters(), out))
    assert torch.cuda.max_memory_allocated() - before <= 1.1 * size + 2**21


# ---------------------------------------------------------------------------------------------
# Before the first call


def test_checkpoints_from_and_to_the_device():
    saved = nn.Linear(7, 4, device="cuda").state_dict()
    on_cpu = LazyLinear(4)
    on_cpu.load_state_dict(saved)
    assert on_cpu.weight.device.type == "cpu"
    moved = LazyLinear(4).cuda()
    moved.load_state_dict({name: each.cpu() for name, each in saved.items()})
    assert torch.equal(moved.weight, saved["weight"])
    assigned = LazyLinear(4)
    assigned.load_state_dict(saved, assign=True)
    assert assigned.weight.device.type == "cuda"


def test_compiled_before_the_first_call():
    model = nn.Sequential(LazyLinear(8), nn.ReLU(), LazyLinear(2))
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    x = torch.randn(3, 7, device="cuda")
    out = compiled(x)
    assert on_cuda(model)
    torch.testing.assert_close(out, model(x))


def test_copies_of_a_module_moved_before():
    module = LazyLinear(4).cuda()
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        twin(torch.ones(3, 7, device="cuda"))
        assert on_cuda(twin)
        assert is_lazy(module)
