"""`NamedSequential`: modules one after another, each under a name."""

from __future__ import annotations

from functools import update_wrapper
from typing import Any

from torch import nn

__all__ = ["NamedSequential"]


class NamedSequential(nn.Sequential):
    """`nn.Sequential` whose children are given by keyword and run in that order.

    Args:
        **modules: the children, under the names that they have in `state_dict()` and `repr`.

    Shape:
        What the first child takes -> what the last one gives.

    Raises:
        TypeError: if one of them is not an `nn.Module`.
        KeyError: if `nn.Module` has an attribute of that name (`forward`), or the name is empty or has a dot in it.

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
        # torch hands a slice to the constructor of the class, which takes no such thing here, nor in subclasses
        if not isinstance(idx, slice):
            return super().__getitem__(idx)
        part = NamedSequential()
        for name, module in list(self._modules.items())[idx]:
            part.add_module(name, module)
        return part


# takes over torch's mark that a scripted module has this method, too
update_wrapper(NamedSequential.__getitem__, nn.Sequential.__getitem__)
