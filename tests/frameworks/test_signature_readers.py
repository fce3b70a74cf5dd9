"""Libraries that read signatures see, and pass, what a lazy class accepts: command lines and configurations."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest
import torch
from torch import nn

import lazify.nn as lnn
from lazify import is_lazy, lazify
from lazify.layers import LazyConvNormActivation

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries' own


class Block(nn.Module):
    """A block.

    Args:
        in_features: inferred.
        width: how wide it is.
        bias: whether there is one.
    """

    def __init__(self, in_features: int, width: int, bias: bool = True) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, width, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.linear(x)
        return y


LazyBlock = lazify(Block)


@lazify(exclude=["in_features"])
class Decorated(Block):
    def __init__(self, in_features: int, width: int, bias: bool = True) -> None:
        super().__init__(in_features, width, bias)


#: Lazy classes, and what they are given: everything that they require, and one thing more.
CLASSES: dict[str, tuple[Any, dict[str, Any]]] = {
    "a library's": (LazyBlock, {"width": 4, "bias": False}),
    "decorated": (Decorated, {"width": 4, "bias": False}),
    "torch's": (lnn.LazyLinear, {"out_features": 4, "bias": False}),
    "lazify's": (LazyConvNormActivation, {"out_channels": 4, "kernel_size": 1, "stride": 1}),
}
each_class = pytest.mark.parametrize(("cls", "given"), CLASSES.values(), ids=CLASSES)


def library(name: str) -> Any:
    pytest.importorskip(name, reason=f"{name} is not installed")
    return importlib.import_module(name)


def assert_waits(module: Any, cls: Any, given: dict[str, Any]) -> None:
    assert type(module) is cls or isinstance(module, cls)
    assert is_lazy(module)
    assert all(f"{name}={value!r}" in repr(module) for name, value in given.items())


@each_class
def test_jsonargparse(cls: Any, given: dict[str, Any]) -> None:
    jsonargparse = library("jsonargparse")
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(cls, "model")
    made = parser.instantiate_classes(parser.parse_args([f"--model.{name}={value}" for name, value in given.items()]))
    assert_waits(made.model, cls, given)
    required = next(iter(given))
    with pytest.raises(jsonargparse.ArgumentError, match=required):
        parser.parse_args([])
    with pytest.raises(jsonargparse.ArgumentError, match="nothing"):
        parser.parse_args([f"--model.{required}={given[required]}", "--model.nothing=1"])


@each_class
def test_jsonargparse_of_a_base_class(cls: Any, given: dict[str, Any]) -> None:
    """As in a file for LightningCLI: the class by its path."""
    parser = library("jsonargparse").ArgumentParser(exit_on_error=False)
    parser.add_argument("--model", type=nn.Module)
    path = f"{cls.__module__}.{cls.__qualname__}"
    if cls.__module__ == __name__:
        path = f"{__name__}.{'LazyBlock' if cls is LazyBlock else cls.__qualname__}"
    made = parser.instantiate_classes(parser.parse_object({"model": {"class_path": path, "init_args": given}}))
    assert_waits(made.model, cls, given)


@each_class
def test_hydra(cls: Any, given: dict[str, Any]) -> None:
    hydra = library("hydra.utils")
    target = {LazyBlock: f"{__name__}.LazyBlock"}.get(cls, f"{cls.__module__}.{cls.__qualname__}")
    assert_waits(hydra.instantiate({"_target_": target, **given}), cls, given)


@each_class
def test_hydra_zen(cls: Any, given: dict[str, Any]) -> None:
    hydra_zen = library("hydra_zen")
    has_open_sizes = "?" in str(inspect.signature(cls))  # which OmegaConf takes for numbers that are none
    config = hydra_zen.builds(cls, populate_full_signature=not has_open_sizes, hydra_convert="all")
    assert_waits(hydra_zen.instantiate(config, **given), cls, given)
    with pytest.raises(TypeError, match="nothing"):
        hydra_zen.builds(cls, nothing=1)


@each_class
def test_gin(cls: Any, given: dict[str, Any]) -> None:
    gin = library("gin")
    gin.clear_config()
    configurable = gin.external_configurable(cls, f"it{abs(hash(cls))}")
    gin.parse_config([f"it{abs(hash(cls))}.{name} = {value!r}" for name, value in given.items()])
    assert_waits(configurable(), cls, given)


@each_class
def test_pydantic(cls: Any, given: dict[str, Any]) -> None:
    pydantic = library("pydantic")
    make = pydantic.validate_call(lambda **arguments: cls(**arguments))
    assert_waits(make(**given), cls, given)
    model = pydantic.create_model("Model", module=(cls, ...), __config__={"arbitrary_types_allowed": True})
    assert model(module=cls(**given)).module is not None
