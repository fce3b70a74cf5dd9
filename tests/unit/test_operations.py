"""Every method of `nn.Module` that changes a module is recorded before the first call."""

import torch
from torch import nn


def test_recorded_methods_exist_in_torch():
    """Every public method of nn.Module that changes the module is recorded, or known not to need it."""
    reads = """
        buffers children forward get_buffer get_extra_state get_parameter get_submodule load_state_dict modules
        named_buffers named_children named_modules named_parameters parameters set_extra_state state_dict extra_repr
    """.split()
    from lazify._deferred.operation_table import RecordsOperations
    from lazify._lazy_class.instance import LazyInstance

    public = {n for n in vars(nn.Module) if not n.startswith("_") and callable(getattr(nn.Module, n))}
    recorded = {*vars(LazyInstance), *vars(RecordsOperations)}
    assert public - recorded <= set(reads)


def test_conversions_of_the_parent_are_recognised_by_their_closures():
    """`model.half()` hands each module inside a local function of torch's."""
    from lazify._deferred.operations import conversion_from_closure

    seen = {}

    class Child(nn.Module):
        def _apply(self, fn, recurse=True):
            seen["operation"] = conversion_from_closure(fn)
            return self

    model = nn.Sequential(Child())
    for name, args, kwargs in [
        ("half", (), {}),
        ("type", (), {"dst_type": torch.float64}),
        ("to", (), {"device": torch.device("cpu"), "dtype": torch.float64, "non_blocking": False}),
        ("to_empty", (), {"device": "cpu"}),
        ("cpu", (), {}),
        ("bfloat16", (), {}),
    ]:
        getattr(model, name)(*args, **kwargs)
        assert (seen["operation"].method, seen["operation"].kwargs) == (name, kwargs)
    model._apply(lambda t: t)
    assert seen["operation"] is None
