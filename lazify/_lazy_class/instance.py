"""`LazyInstance`: what the instances of every lazy class have in common until they are materialized.

Each method says here what it is for. Longer ones are functions in the files beside this one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace
from typing import Any, ClassVar, NoReturn, cast

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from lazify._deferred.operation_table import RecordsOperations, replay
from lazify._deferred.operations import Operation
from lazify._deferred.refusals import refuse_at_once
from lazify._deferred.state import STATE_KEY, lazy_state
from lazify._first_call.attempt import call, materialize_and_call, materialize_with
from lazify._lazy_class.attributes import known_names, read_attribute, read_class_attribute, state_of
from lazify._lazy_class.checkpoint_loading import load_from_state_dict, materialize_by_shape
from lazify._lazy_class.constructor import RECIPE
from lazify._lazy_class.documentation import instance_html, instance_text
from lazify._lazy_class.pickling import pickle_reference, restore_state, saved_state, unpickle
from lazify._recipe.recipe import Recipe
from lazify._torch import DYNAMO_HOOK, tree_map_only, without_symbolic_sizes
from lazify.errors import DefinitionError, NotMaterializedError, compose, shorten_traceback

__all__ = ["LazyInstance"]


class LazyInstance(RecordsOperations):
    """First base of every lazy class. Materialization changes the class of an instance to the wrapped class."""

    _lazify_recipe: ClassVar[Recipe]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse subclasses of lazy classes, and skip `__init_subclass__` of the wrapped class (registries).

        A lazy class that was pickled by value gets its recipe later; it has the bases of a lazy class. A subclass of
        which a metaclass of its own makes the instances (by gin, to configure a class) may make them of the lazy class.
        """
        makes_others = type(cls).__call__ is not type(cls.__base__).__call__
        if RECIPE not in cls.__dict__ and LazyInstance not in cls.__bases__ and not makes_others:
            wrapped = getattr(cls, RECIPE).wrapped.__name__
            raise DefinitionError(
                compose(
                    f"{cls.__name__} subclasses a lazy class",
                    [
                        ("lazy class", f"Lazy{wrapped}"),
                        ("an instance becomes", f"{wrapped}, which would lose {cls.__name__}"),
                    ],
                    f"class {cls.__name__}({wrapped}): ...\nLazy{cls.__name__} = lazify({cls.__name__})",
                )
            )

    # materialization

    __call__ = call

    def _infer_parameters(self, module: Any, args: Any, kwargs: Any = None) -> None:
        """Materialize without a call. Dynamo calls this before it traces a lazy module, with fakes of the arguments."""
        args, kwargs = tree_map_only(torch.Tensor, without_symbolic_sizes, (tuple(args), dict(kwargs or {})))
        materialize_and_call(module, args, kwargs, None)

    def initialize_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Materialize for this input without a call, as lazy modules of torch do."""
        materialize_and_call(cast("nn.Module", self), args, kwargs, None)

    def has_uninitialized_params(self) -> bool:
        """Whether any parameter or buffer is uninitialized, submodules included; True if that is not known yet."""
        module = cast("nn.Module", self)
        try:
            return any(map(is_lazy, (*module.parameters(), *module.buffers())))
        except NotMaterializedError:
            return True

    def materialize_like_copy(self) -> bool:
        """Materialize without a call if this is a copy whose original, or another copy of it, is materialized.

        Returns:
            Whether the instance has been materialized.
        """
        module = cast("nn.Module", self)
        state = lazy_state(module)
        group = None if state is None else state.history.copy_group
        if group is None or group.plan is None:
            return False
        materialize_with(replace(group.plan, module=module))
        return True

    def materialize_for_tie(self, placeholder: Any, like: torch.Tensor) -> None:
        """Materialize without a call, with the values that give a parameter the shape of another one, if it tells them.

        Args:
            placeholder: the placeholder of the parameter, which is tied to the other one.
            like: the parameter of another module in whose place it is.
        """
        materialize_by_shape(cast("nn.Module", self), placeholder, like)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: dict[str, Any], strict: bool, *lists: list[str]
    ) -> None:
        """Materialize from the saved shapes and load; see `load_from_state_dict`."""
        load_from_state_dict(cast("nn.Module", self), state_dict, prefix, local_metadata, strict, lists)

    def _replicate_for_data_parallel(self) -> NoReturn:
        raise NotMaterializedError(state_of(self).not_known_message("_replicate_for_data_parallel"))

    # operations

    def _lazify_perform(self, operation: Operation) -> Any:
        state = state_of(self)
        refuse_at_once(operation, state)
        result = replay((operation,), cast("nn.Module", self), "instance", state)
        state.record(operation, result)
        return result

    # attributes

    def __getattr__(self, name: str) -> Any:
        state = vars(self).get(STATE_KEY)
        if state is not None:
            try:
                return read_attribute(cast("nn.Module", self), state, name, sys._getframe(1))
            except NotMaterializedError as error:
                shorten_traceback(error)
                raise
        if isinstance(self, LazyInstance):  # its constructor has not run
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self, name)  # another thread has just materialized it: read the attribute of the real module

    def _lazify_class_attribute(self, name: str, value: Any) -> Any:
        state = lazy_state(cast("nn.Module", self))
        return value if state is None else read_class_attribute(self, state, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "__class__":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def __dir__(self) -> Iterable[str]:
        return sorted({*dir(type(self)), *known_names(cast("nn.Module", self))})

    # text

    def __repr__(self) -> str:
        state = lazy_state(cast("nn.Module", self))
        if state is None:  # another thread is materializing it
            return object.__repr__(self)
        return instance_text(state)

    def _repr_html_(self) -> str:
        return instance_html(cast("nn.Module", self))

    # copies and pickles

    def __reduce_ex__(self, protocol: Any) -> Any:
        module = cast("nn.Module", self)
        return unpickle, pickle_reference(type(self), state_of(self).recipe), saved_state(module)

    def __setstate__(self, saved: tuple[Any, ...]) -> None:
        restore_state(cast("nn.Module", self), saved)

    def __copy__(self) -> Any:
        """A shallow copy: it shares the constructor arguments and has a history of its own."""
        twin = object.__new__(type(self))
        twin.__setstate__(saved_state(cast("nn.Module", self)))
        state_of(twin).share_group_of(state_of(self))
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A deep copy, which is materialized on its own by its first call, and starts with the values of the original.

        If its parameters are used before, it is materialized like the first of its copy group that was.
        """
        twin = memo[id(self)] = object.__new__(type(self))
        twin.__setstate__(deepcopy(saved_state(cast("nn.Module", self)), memo))
        state_of(twin).share_group_of(state_of(self))
        return twin


setattr(LazyInstance, DYNAMO_HOOK, True)
