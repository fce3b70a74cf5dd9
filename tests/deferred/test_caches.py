"""The caches of a lazy class: what is found out once serves all its instances, and goes with the class."""

from __future__ import annotations

import gc
import pickle
import weakref
from typing import Any

import torch
from torch import nn

from helpers.first_call import X
from helpers.pairs import in_form
from lazify import axis, lazify


class Doubling(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2 * width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.linear(x))


def test_a_second_instance_finds_what_the_first_has_found() -> None:
    lazy_cls: Any = lazify(Doubling, exclude=["width"])
    caches, found = lazy_cls._lazify_caches, []
    for _ in range(2):
        list(lazy_cls().parameters())
        lazy_cls()(X)
        found.append([list(each) for each in (caches.binders, caches.templates, caches.solutions)])
    assert found[0] == found[1]
    assert all(found[0])


def test_a_class_is_freed_with_its_caches(form: str) -> None:
    class Block(Doubling):
        def __init__(self, width: int, kind: type | None = None) -> None:
            super().__init__(width)

    lazy_cls, cls = in_form(form, Block, {"width": axis(-1)})
    list(lazy_cls(kind=cls).parameters())
    lazy_cls(kind=cls)(X)
    alive = weakref.ref(cls)
    del Block, lazy_cls, cls
    gc.collect()
    assert alive() is None


def test_a_pickle_holds_no_caches() -> None:
    lazy_cls: Any = lazify(nn.Linear)
    list(lazy_cls(3).parameters())
    assert not pickle.loads(pickle.dumps(lazy_cls._lazify_caches)).templates
