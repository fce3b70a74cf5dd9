"""Hooks of every kind. Each factory makes a hook that writes to `log`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


def pre(log: list[Any], tag: str = "") -> Callable[..., None]:
    def hook(module: nn.Module, args: Any) -> None:
        log.append((f"pre{tag}", type(module).__name__, len(args), len(list(module.parameters()))))

    return hook


def pre_kwargs(log: list[Any], tag: str = "") -> Callable[..., None]:
    def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
        log.append((f"pre-kwargs{tag}", len(args), sorted(kwargs)))

    return hook


def post(log: list[Any], tag: str = "") -> Callable[..., None]:
    def hook(module: nn.Module, args: Any, output: Any) -> None:
        log.append((f"post{tag}", type(module).__name__, getattr(output, "shape", None)))

    return hook


def post_kwargs(log: list[Any], tag: str = "") -> Callable[..., None]:
    def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        log.append((f"post-kwargs{tag}", sorted(kwargs)))

    return hook


def back_pre(log: list[Any], tag: str = "") -> Callable[..., None]:
    def hook(module: nn.Module, grads: Any) -> None:
        log.append((f"back-pre{tag}", [g.shape for g in grads]))

    return hook


def back(log: list[Any], tag: str = "") -> Callable[..., None]:
    def hook(module: nn.Module, into: Any, out_of: Any) -> None:
        log.append((f"back{tag}", [g.shape for g in into if g is not None], [g.shape for g in out_of]))

    return hook


def anything(log: list[Any], tag: str) -> Callable[..., None]:
    def hook(*args: Any) -> None:
        log.append((tag, len(args), type(args[0]).__name__))

    return hook


Register = Callable[[nn.Module, list[Any]], Any]
HOOKS: dict[str, Register] = {
    "pre": lambda m, log: m.register_forward_pre_hook(pre(log)),
    "pre-prepend": lambda m, log: m.register_forward_pre_hook(pre(log, "!"), prepend=True),
    "pre-kwargs": lambda m, log: m.register_forward_pre_hook(pre_kwargs(log), with_kwargs=True),
    "post": lambda m, log: m.register_forward_hook(post(log)),
    "post-prepend": lambda m, log: m.register_forward_hook(post(log, "!"), prepend=True),
    "post-kwargs": lambda m, log: m.register_forward_hook(post_kwargs(log), with_kwargs=True),
    "post-always": lambda m, log: m.register_forward_hook(post(log, "*"), always_call=True),
    "back-pre": lambda m, log: m.register_full_backward_pre_hook(back_pre(log)),
    "back-pre-prepend": lambda m, log: m.register_full_backward_pre_hook(back_pre(log, "!"), prepend=True),
    "back": lambda m, log: m.register_full_backward_hook(back(log)),
    "back-prepend": lambda m, log: m.register_full_backward_hook(back(log, "!"), prepend=True),
    "state-pre": lambda m, log: m.register_state_dict_pre_hook(anything(log, "state-pre")),
    "state-post": lambda m, log: m.register_state_dict_post_hook(anything(log, "state-post")),
    "state-old": lambda m, log: m._register_state_dict_hook(anything(log, "state-old")),
    "load-pre": lambda m, log: m.register_load_state_dict_pre_hook(anything(log, "load-pre")),
    "load-pre-old": lambda m, log: m._register_load_state_dict_pre_hook(anything(log, "load-pre-old")),
    "load-pre-module": lambda m, log: m._register_load_state_dict_pre_hook(anything(log, "load-pre-m"), True),
    "load-post": lambda m, log: m.register_load_state_dict_post_hook(anything(log, "load-post")),
}
if not hasattr(nn.Module, "register_state_dict_post_hook"):  # before 2.5
    del HOOKS["state-post"], HOOKS["load-pre"]
