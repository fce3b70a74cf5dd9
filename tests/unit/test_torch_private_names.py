"""The private names of torch that lazify uses: each test fails when torch moves one."""

import copy
import inspect
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.modules import module as torch_module
from torch.utils.checkpoint import checkpoint

import lazify
from lazify import _torch
from lazify._isolation import errors_of_fakes

PACKAGE = Path(lazify.__file__).parent


def test_private_names_stay_in_one_file():
    """`torch._x`, `nn.modules._x` and the like; `nn.Module`'s own underscore methods are its protocol."""
    pattern = re.compile(r"\btorch\._\w+|\bfrom torch[\w.]* import _\w+|\bfrom torch\._\w+")
    for path in PACKAGE.glob("*.py"):
        if path.stem != "_torch":
            assert not pattern.findall(path.read_text()), path.name


def test_compiled_call_is_on_the_call_path():
    module = nn.Linear(2, 2)
    calls = []
    module.__dict__[_torch.COMPILED_CALL] = lambda *args, **kwargs: calls.append(args) or module._call_impl(*args)
    assert module(torch.zeros(1, 2)).shape == (1, 2)
    assert len(calls) == 1
    assert _torch.COMPILED_CALL not in vars(nn.Linear(2, 2))


def test_any_autocast():
    assert _torch.any_autocast() is False
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert _torch.any_autocast() is True


def test_transforms_are_seen_and_left():
    def inside(x):
        assert _torch.inside_transform() is not None
        with _torch.outside_transforms():
            assert _torch.inside_transform() is None
            made.append(nn.Linear(3, 2))
        return made[-1](x).sum()

    made = []
    assert _torch.inside_transform() is None
    torch.func.grad(inside)(torch.ones(3))
    assert made[0](torch.ones(3)).requires_grad


def test_is_made_here():
    cpu, meta = torch.empty(1, device="cpu"), torch.empty(1, device="meta")
    assert _torch.is_made_here(cpu)
    assert not _torch.is_made_here(meta)
    with torch.device("meta"):
        assert _torch.is_made_here(meta)
        assert not _torch.is_made_here(cpu)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:FutureWarning")  # from 2.14
def test_tracers_are_told_and_switched_off():
    def seen(x):
        found.append(_torch.graph_tracer())
        return x + 1

    found = []
    assert _torch.graph_tracer() == ""
    torch.jit.trace(seen, (torch.ones(2),), check_trace=False)
    for pre_dispatch in (False, True):
        make_fx(seen, pre_dispatch=pre_dispatch)(torch.ones(2))
    assert found == ["torch.jit.trace", "make_fx", "make_fx"]

    def off(x):
        state = _torch.tracing_state()
        _torch.set_tracing_state(None)
        y = seen(x).exp()
        _torch.set_tracing_state(state)
        return x + y

    traced = torch.jit.trace(off, (torch.ones(2),), check_trace=False)
    assert found[-1] == ""
    assert "exp" not in str(traced.graph)


def test_function_modes():
    assert _torch.function_modes() == 0
    with torch.device("meta"):
        assert _torch.function_modes() == 1


def test_module_call_is_what_tracing_exchanges():
    class Tracer(torch.fx.Tracer):
        def call_module(self, *args):
            seen.append(nn.Module.__call__ is _torch.MODULE_CALL)
            return super().call_module(*args)

    seen = []
    Tracer().trace(nn.Sequential(nn.ReLU()))
    assert seen == [False]
    assert nn.Module.__call__ is _torch.MODULE_CALL


def test_global_pre_hooks():
    assert not _torch.GLOBAL_PRE_HOOKS
    with torch_module.register_module_forward_pre_hook(lambda module, args: None):
        assert _torch.GLOBAL_PRE_HOOKS


def test_dynamo_asks_for_the_hook():
    import torch._dynamo.variables.nn_module as dynamo

    source = inspect.getsource(dynamo.initialize_lazy_module)
    assert f'"{_torch.DYNAMO_HOOK}"' in source
    assert "_infer_parameters(mod, " in source


def test_lazy_handles_are_torchs():
    """The three fields of a handle that are pointed at the real module's hooks."""
    module = nn.Linear(2, 2)
    handle = module.register_forward_hook(lambda *args: None, with_kwargs=True)
    assert set(vars(handle)) == {"hooks_dict_ref", "id", "extra_dict_ref"}


def test_dynamo_knows_lazy_modules_by_torchs_mixin():
    from torch._dynamo.utils import is_lazy_module

    assert is_lazy_module(lazify.lazify(nn.Linear)(3))


def test_skip_dynamo():
    @_torch.skip_dynamo
    def hidden(x):
        return x + torch.compiler.is_compiling()

    torch._dynamo.reset()
    assert torch.compile(hidden, backend="eager")(torch.zeros(1)) == 0
    # and not traced into from a frame that is compiled: what stops there would be warned of
    assert torch.compile(lambda x: hidden(x) * 2, backend="eager")(torch.zeros(1)) == 0
    with pytest.raises(torch._dynamo.exc.Unsupported, match="disable"):
        torch.compile(lambda x: hidden(x) * 2, backend="eager", fullgraph=True)(torch.zeros(1))


def test_forget_hooks():
    tensor, log = torch.ones(1, requires_grad=True), []
    for _ in range(2):
        tensor.register_hook(lambda grad: log.append("grad"))
        tensor.register_post_accumulate_grad_hook(lambda tensor: log.append("after"))
        tensor.sum().backward()
        assert log == ["grad", "after"]
        log.clear()
        _torch.forget_hooks(tensor)
        assert tensor._backward_hooks is None
        assert tensor._post_accumulate_grad_hooks is None
        tensor.sum().backward()
        assert not log


def test_without_symbolic_sizes():
    with _torch.FakeMode():
        fake = torch.empty(2, 3)
    assert _torch.without_symbolic_sizes(fake).shape == (2, 3)
    real = torch.empty(2)
    assert _torch.without_symbolic_sizes(real) is real


def test_sharing_with_autograd():
    weight = nn.Parameter(torch.ones(2))
    assert not _torch.is_shared_with_autograd(weight)
    out = weight.sum()
    assert _torch.is_shared_with_autograd(weight)
    del out


def test_active_fake_mode():
    assert not _torch.active_fake_mode()
    with _torch.FakeMode():
        assert _torch.active_fake_mode()
        with _torch.unset_fake_mode():
            assert not _torch.active_fake_mode()


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
def test_copies_of_parameters_made_in_a_fake_mode_leave_the_mode_alone():
    with _torch.FakeMode() as mode:
        layer = nn.Linear(2, 3)
        copied = copy.deepcopy(layer)
    assert copied.weight.fake_mode is mode
    assert copied.weight is not layer.weight


def test_what_torch_allows_on_uninitialized_tensors():
    assert torch.Tensor.half in _torch.ALLOWED_ON_UNINITIALIZED
    assert torch.Tensor.detach not in _torch.ALLOWED_ON_UNINITIALIZED


def test_without_torch_function():
    with _torch.without_torch_function():
        assert nn.UninitializedParameter().numel() == 0


def test_is_fx_tracing():
    seen = []

    class Asking(nn.Module):
        def forward(self, x):
            seen.append(_torch.is_fx_tracing(x))
            return x

    torch.fx.symbolic_trace(Asking())
    Asking()(torch.zeros(1))
    assert seen == [True, False]


def test_global_hooks():
    before = [len(hooks) for hooks in _torch.GLOBAL_HOOKS]
    handles = [
        torch_module.register_module_forward_pre_hook(print),
        torch_module.register_module_forward_hook(print),
        torch_module.register_module_full_backward_pre_hook(print),
        torch_module.register_module_full_backward_hook(print),
        torch_module.register_module_buffer_registration_hook(print),
        torch_module.register_module_module_registration_hook(print),
        torch_module.register_module_parameter_registration_hook(print),
    ]
    try:
        assert [len(hooks) for hooks in _torch.GLOBAL_HOOKS] == [number + 1 for number in before]
    finally:
        for handle in handles:
            handle.remove()


def test_function_modes_come_off_and_on():
    with torch.device("meta"):
        mode = _torch.pop_function_mode()
        assert torch.empty(1).device.type == "cpu"
        _torch.push_function_mode(mode)
        assert torch.empty(1).device.type == "meta"


def test_no_torch_function_turns_modes_off():
    with torch.device("meta"), _torch.no_torch_function():
        assert torch.empty(1).device.type == "cpu"


def test_dispatch_modes_come_off():
    with _torch.FakeMode():
        with _torch.without_dispatch_modes():
            assert type(torch.empty(1)) is torch.Tensor
        assert type(torch.empty(1)) is _torch.FakeTensor


def test_versions_are_set():
    tensor = torch.zeros(1)
    tensor.add_(1)
    _torch.set_versions((tensor,), (0,))
    assert tensor._version == 0


def test_transformed_tensors_are_told():
    seen = []
    torch.func.vmap(lambda t: seen.append(_torch.is_transformed(t)) or t)(torch.ones(2))
    assert seen == [True]
    assert not _torch.is_transformed(torch.ones(2))


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_is_seen(reentrant):
    seen = []

    def function(x):
        seen.append(_torch.recomputed_later())
        return x * x

    checkpoint(function, torch.ones(1, requires_grad=True), use_reentrant=reentrant)
    assert seen == [True]
    with torch.no_grad():
        assert not _torch.recomputed_later()
    assert _torch.saved_tensors_hooks_on(True) is None
    with torch.autograd.graph.saved_tensors_hooks(torch.Tensor.detach, torch.Tensor.detach):
        assert not _torch.recomputed_later()
        assert _torch.saved_tensors_hooks_on(True) is not None


def test_backend_settings_and_print_options():
    assert [read() for read, _ in _torch.BACKEND_SETTINGS]
    before = torch.backends.cudnn.benchmark
    values = [read() for read, _ in _torch.BACKEND_SETTINGS]
    torch.backends.cudnn.benchmark = not before
    changed = [read() for read, _ in _torch.BACKEND_SETTINGS]
    for (_, write), value in zip(_torch.BACKEND_SETTINGS, values, strict=True):
        write(value)
    assert changed != values
    assert torch.backends.cudnn.benchmark == before
    precision = _torch.PRINT_OPTIONS.precision
    torch.set_printoptions(precision=precision + 1)
    assert _torch.PRINT_OPTIONS.precision == precision + 1
    torch.set_printoptions(precision=precision)


def test_the_default_device_is_seen_wherever_it_was_set():
    assert _torch.default_device().type == torch.empty(1).device.type == "cpu"
    with torch.device("meta"):
        assert _torch.default_device().type == torch.empty(1).device.type == "meta"
    torch.set_default_device("meta")
    try:
        assert _torch.default_device().type == "meta"
        with _torch.without_default_device():
            assert torch.get_default_device().type == "cpu" or _torch.function_modes()
    finally:
        torch.set_default_device(None)
    assert _torch.default_device().type == "cpu"


def test_a_function_mode_comes_off_below_a_default_device():
    class Mode(_torch.FunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {}))

    with Mode():
        torch.set_default_device("meta")
    while _torch.function_modes():
        assert not isinstance(_torch.pop_function_mode(), Mode)
    torch._GLOBAL_DEVICE_CONTEXT.device_context = None


def test_methods_of_modules():
    assert _torch.methods_of_modules(["train", "no_such_method"]) == {"train": nn.Module.train}


def test_errors_that_say_that_values_are_needed():
    import torch._subclasses.fake_tensor as fake
    import torch.fx.experimental.symbolic_shapes as symbolic

    for name in errors_of_fakes.NEEDS_VALUES:
        assert hasattr(fake, name) or hasattr(symbolic, name), name
    with _torch.FakeMode(), pytest.raises(Exception, match="nonzero") as caught:
        torch.empty(3).nonzero()
    assert errors_of_fakes.fails_for_fakes_alone(caught.value)
    assert not errors_of_fakes.fails_for_fakes_alone(ValueError("mat1 and mat2"))
