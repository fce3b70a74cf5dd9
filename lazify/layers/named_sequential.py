"""`NamedSequential`: an `nn.Sequential` whose children have names."""

from __future__ import annotations

from functools import update_wrapper
from typing import Any

from torch import nn

__all__ = ["NamedSequential"]


class NamedSequential(nn.Sequential):
    """An `nn.Sequential` whose children are keyword arguments, in the order in which they run.

    Args:
        **modules: name of a child, as in `state_dict()` and `repr` -> the child.

    Shape:
        The input of the first child -> the output of the last child.

    Raises:
        TypeError: if one of the children is not an `nn.Module`.
        KeyError: if a name is empty, has a dot in it, or is an attribute of `nn.Module` (`forward`).

    >>> import torch
    >>> from torch import nn
    >>> head = NamedSequential(flat=nn.Flatten(), scores=nn.Linear(12, 2))
    >>> head(torch.zeros(4, 3, 2, 2)).shape
    torch.Size([4, 2])
    >>> list(head.state_dict())
    ['scores.weight', 'scores.bias']
    """

    def __init__(self, /, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)

    def __getitem__(self, idx: slice | int) -> Any:
        # for a slice, nn.Sequential calls type(self)(OrderedDict(...)), which this constructor does not accept
        if not isinstance(idx, slice):
            return super().__getitem__(idx)
        part = NamedSequential()
        for name, module in list(self._modules.items())[idx]:
            part.add_module(name, module)
        return part


# copies the attribute by which TorchScript knows that `__getitem__` of nn.Sequential is supported
update_wrapper(NamedSequential.__getitem__, nn.Sequential.__getitem__)
