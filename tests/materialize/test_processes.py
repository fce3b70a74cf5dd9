"""A materialized model in two processes, with DDP and with FSDP."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import Any

import pytest
import torch
import torch.distributed.fsdp

from helpers.versions import INSTALLED

NETWORK = """
    import os
    import torch
    from torch import nn
    from torch import distributed as dist
    from lazify import is_lazy, lazify, materialize

    LazyLinear = lazify(nn.Linear)

    def network():
        return nn.Sequential(LazyLinear(16), nn.ReLU(), LazyLinear(4))

    shape = torch.Size((8, 5))

    def leave():
        dist.barrier()
        dist.destroy_process_group()
        os._exit(0)  # gloo's threads do not always survive the end of the interpreter
"""
DDP = """
    from network import *
    from torch.nn.parallel import DistributedDataParallel

    dist.init_process_group("gloo")
    try:
        DistributedDataParallel(network())
    except RuntimeError as error:
        assert "uninitialized parameters" in str(error), error
    else:
        raise AssertionError("DDP took a lazy model")
    torch.manual_seed(0)
    model = DistributedDataParallel(materialize(network(), shape))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.manual_seed(dist.get_rank())
    model(torch.randn(8, 5)).square().sum().backward()
    optimizer.step()
    mine = torch.cat([p.detach().flatten() for p in model.parameters()])
    all_of_them = [torch.empty_like(mine) for _ in range(2)]
    dist.all_gather(all_of_them, mine)
    assert torch.equal(*all_of_them)
    leave()
"""
FSDP = """
    from network import *
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    dist.init_process_group("gloo")
    model = materialize(network(), shape, device="meta")
    mesh = init_device_mesh("cpu", (2,))
    for layer in model:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    model.to_empty(device="cpu")
    torch.manual_seed(0)
    for layer in model:
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = model[0].weight.full_tensor().clone()
    model(torch.randn(8, 5)).square().sum().backward()
    optimizer.step()
    assert not torch.equal(before, model[0].weight.full_tensor())
    state = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if dist.get_rank() == 0:
        single = network()
        assert all(map(is_lazy, (single[0], single[2])))
        single.load_state_dict(state)
        assert single[0].in_features == 5
        for name, tensor in single.state_dict().items():
            assert torch.equal(tensor, state[name])
    leave()
"""


needs_fsdp2 = pytest.mark.skipif(
    not hasattr(torch.distributed.fsdp, "fully_shard") or INSTALLED.startswith("2.6."),
    reason="not before torch 2.6, and there it fails on the CPU, in torch's own code",
)


@pytest.mark.parametrize("script", [pytest.param(DDP, id="DDP"), pytest.param(FSDP, id="FSDP2", marks=needs_fsdp2)])
def test_two_processes(script: str, tmp_path: Any) -> None:
    (tmp_path / "network.py").write_text(textwrap.dedent(NETWORK))
    (tmp_path / "main.py").write_text(textwrap.dedent(script))
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "main.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
