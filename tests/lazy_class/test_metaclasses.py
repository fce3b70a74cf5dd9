"""Metaclasses and other class machinery."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from helpers.pairs import in_form
from helpers.twins import assert_twins
from lazify import axis, is_lazy, lazify

X = torch.zeros(2, 5)


class Finishing(type):
    """Does something to each finished instance."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        made.finish()
        return made


class Finished(nn.Module, metaclass=Finishing):
    def __init__(self, in_features: int, out_features: int = 3) -> None:
        super().__init__()
        self.sizes = (in_features, out_features)
        self.register_forward_hook(self.count)
        self.calls = 0

    def count(self, *_: Any) -> None:
        self.calls += 1

    def finish(self) -> None:
        self.linear = nn.Linear(*self.sizes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def test_a_metaclass_with_a_call_of_its_own_runs_once_at_the_first_call(form: str) -> None:
    lazy_cls, cls = in_form(form, Finished)
    module = lazy_cls(4)
    assert is_lazy(module)
    same = module
    torch.manual_seed(1)
    module(X)
    assert module is same
    assert type(module) is cls
    torch.manual_seed(1)
    twin = cls(in_features=5, out_features=4)
    twin(X)
    assert module.calls == 1, "the hook that the constructor tied to self is tied to this very object"
    assert_twins(module, twin)
    assert type(cls) is type(lazy_cls) or issubclass(type(lazy_cls), Finishing)


class Counting(type):
    """Counts the instances of a class, on the class."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        cls.built += 1
        cls.made[cls.__name__] = made
        return made


class Counted(nn.Module, metaclass=Counting):
    built = 0
    made: dict[str, Any] = {}

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def test_a_metaclass_that_keeps_account_on_the_class() -> None:
    class Own(Counted):
        built = 0
        made = {}

        def __init__(self, in_features: int) -> None:
            super().__init__(in_features)

    for lazy_cls in (lazify(Own), lazify(exclude=["in_features"])(Own)):
        built = Own.built
        module = lazy_cls()
        assert (Own.built, lazy_cls.built) == (built, built)
        module(X)
        assert type(module) is Own
        assert Own.built == built + 1
        assert Own.made["Own"].linear is module.linear
        lazy_cls(in_features=3)
        assert Own.built == built + 2


class Single(type):
    """One instance a class."""

    kept: dict[type, Any] = {}

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls not in Single.kept:
            Single.kept[cls] = super().__call__(*args, **kwargs)
        return Single.kept[cls]


def test_a_metaclass_that_keeps_one_instance() -> None:
    class Only(nn.Module, metaclass=Single):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    module = lazify(Only)()
    assert is_lazy(module)
    try:
        module(X)
        assert type(module) is Only
        assert list(Single.kept) == [Only]
        assert Only(in_features=5).linear is module.linear
    finally:
        Single.kept.clear()


class Registering(type):
    names: dict[str, type] = {}

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> Any:
        if name in mcs.names:
            raise ValueError(f"{name} is registered already")
        made = super().__new__(mcs, name, bases, namespace, **kwargs)
        mcs.names[name] = made
        return made

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(name, bases, namespace, **kwargs)
        assert "registered" not in vars(cls)
        cls.registered = True


def test_a_metaclass_that_refuses_duplicate_names() -> None:
    class Registered(nn.Module, metaclass=Registering):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    try:
        for exclude in (None, ["in_features"], {"in_features": axis(-1)}):
            module = lazify(Registered, exclude=exclude)()
            module(X)
            assert type(module) is Registered
        lazify(exclude=["in_features"])(Registered)
        module = Registered()
        module(X)
        assert type(module) is Registered
        assert Registering.names == {"Registered": Registered}
    finally:
        Registering.names.clear()


class Plugin(nn.Module):
    kinds: dict[str, type] = {}

    def __init_subclass__(cls, *, kind: str, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if kind in Plugin.kinds:
            raise ValueError(f"there is a {kind} already")
        Plugin.kinds[kind] = cls


class Gated(Plugin, kind="gated"):
    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, in_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


def test_init_subclass_with_required_keywords_is_not_called_for_lazy_classes() -> None:
    module = lazify(Gated)()
    module(X)
    assert type(module) is Gated
    assert Plugin.kinds == {"gated": Gated}

    @lazify(exclude=["in_features"])
    class Other(Plugin, kind="other"):
        def __init__(self, in_features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(in_features, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    try:
        module = Other()
        module(X)
        assert type(module) is Other
        assert Plugin.kinds == {"gated": Gated, "other": Other}

        class More(Other, kind="more"):
            pass

        assert is_lazy(More())
        assert Plugin.kinds["more"] is More
    finally:
        Plugin.kinds = {"gated": Gated}


class SetName:
    """A descriptor that records each call of `__set_name__`."""

    def __init__(self) -> None:
        self.owners: list[str] = []

    def __set_name__(self, owner: type, name: str) -> None:
        self.owners.append(owner.__name__)

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else len(self.owners)


def test_set_name_is_called_once_for_each_descriptor() -> None:
    class Described(nn.Module):
        described = SetName()

        def __init__(self, in_features: int) -> None:
            super().__init__()

        def forward(self, x: Tensor) -> Tensor:
            return x

    module = lazify(Described)()
    module(X)
    assert Described.described.owners == ["Described"]
