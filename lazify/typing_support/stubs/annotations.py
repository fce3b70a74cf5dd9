"""Types as source text: annotations read at run time, types of values and of expressions."""

from __future__ import annotations

import ast
import inspect
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from inspect import Parameter
from types import ModuleType
from typing import Any

from torch import nn

from lazify._lazy_class.constructor import RECIPE
from lazify._lazy_class.instance import LazyInstance
from lazify._recipe.recipe import Recipe
from lazify.typing_support.stubs.syntax import ANY

__all__ = ["AnnotationWriter"]

#: The annotation of a builtin container, from the types of its keys or elements, and of its values.
GENERIC_BUILTINS: Mapping[type, str] = {
    list: "list[{0}]",
    set: "set[{0}]",
    frozenset: "frozenset[{0}]",
    tuple: "tuple[{0}, ...]",
    dict: "dict[{0}, {1}]",
}
#: The values of which the class says nothing: types, functions and modules.
UNTYPED_VALUES = (type(None), type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)


class AnnotationWriter:
    """Writes annotations for the stub of one module, and collects the imports that they need.

    Attributes:
        module: the module.
        imports: import statements.
    """

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.imports: set[str] = set()

    def annotation(self, annotation: Any, cls: type | None = None) -> str:
        """The source text of an annotation; an annotation that is a string is evaluated in the module of `cls`."""
        if isinstance(annotation, str):
            try:
                annotation = eval(annotation, _names_around(cls))
            except Exception:  # a name that only type checkers see
                return ANY
        if annotation is Parameter.empty:
            return ANY
        if annotation is None or annotation is type(None):
            return "None"
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is typing.Literal:
            return f"typing.Literal[{', '.join(map(repr, arguments))}]"
        if origin is typing.Annotated:
            return self.annotation(arguments[0], cls)
        if origin is typing.Union or origin is getattr(types, "UnionType", None):
            return " | ".join(dict.fromkeys(self.annotation(each, cls) for each in arguments))
        if origin is not None:
            return f"{self.annotation(origin)}[{', '.join(self._type_argument(each, cls) for each in arguments)}]"
        return self.class_name(annotation) if isinstance(annotation, type) else ANY

    def _type_argument(self, argument: Any, cls: type | None) -> str:
        if isinstance(argument, list):  # the parameters of a Callable
            return f"[{', '.join(self.annotation(each, cls) for each in argument)}]"
        return "..." if argument is ... else self.annotation(argument, cls)

    def class_name(self, cls: Any) -> str:
        """The dotted name of a class after its import; `typing.Any` for a class that no import finds."""
        module_name, name = str(cls.__module__), str(cls.__qualname__)
        if module_name == "builtins":
            return name
        package = module_name.split(".")[0]
        if package != self.module.__name__.split(".")[0]:  # a class of `pathlib._local` is one of `pathlib`
            module_name = module_name.partition("._")[0]
        found: Any = sys.modules.get(module_name)
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is not cls or module_name.startswith("_"):
            return ANY
        if module_name == self.module.__name__:
            return name
        if vars(self.module).get(package, sys.modules[package]) is sys.modules[package]:
            self.imports.add(f"import {module_name}")
            return f"{module_name}.{name}"
        alias = "_" + module_name.replace(".", "_")  # after `from lazify import lazify`, `lazify` is not the package
        self.imports.add(f"import {module_name} as {alias}")
        return f"{alias}.{name}"

    def type_of_value(self, value: Any) -> str:
        """The annotation of a variable that has this value at run time; a lazy instance has the wrapped class."""
        if isinstance(value, UNTYPED_VALUES):
            return ANY
        if isinstance(value, LazyInstance):
            return self.annotation(getattr(value, RECIPE).wrapped)
        if (form := GENERIC_BUILTINS.get(type(value))) is not None:
            values = value.values() if isinstance(value, dict) else ()
            return form.format(self._common_type(value), self._common_type(values))
        return ANY if _is_generic(type(value)) else self.class_name(type(value))

    def _common_type(self, values: Iterable[Any]) -> str:
        """The type of all values if they are of one class; containers in containers are left open."""
        by_class = {type(each): each for each in values}
        if len(by_class) != 1 or by_class.keys() & GENERIC_BUILTINS.keys():
            return ANY
        return self.type_of_value(*by_class.values())

    def type_of_expression(self, value: ast.expr | None, argument_annotations: Mapping[str, str]) -> str:
        """The type of a constant, of an argument or of a call of a class; `typing.Any` for other expressions.

        Args:
            value: the expression.
            argument_annotations: argument of the method that contains the expression -> annotation.
        """
        if isinstance(value, ast.Constant):
            return self.type_of_value(value.value)
        if isinstance(value, ast.Name):
            return argument_annotations.get(value.id, ANY)
        if not isinstance(value, ast.Call) or not isinstance(cls := self.value_of(value.func), type):
            return ANY
        recipe: Recipe | None = getattr(cls, RECIPE, None)
        if recipe is not None and issubclass(cls, LazyInstance):
            return self.annotation(recipe.wrapped)
        return ANY if _is_generic(cls) else ast.unparse(value.func)

    def value_of(self, expression: ast.expr) -> Any:
        """The run-time value of a dotted name in the module; None for other expressions."""
        if isinstance(expression, ast.Name):
            return vars(self.module).get(expression.id)
        if isinstance(expression, ast.Attribute):
            return getattr(self.value_of(expression.value), expression.attr, None)
        return None


def _is_generic(cls: type) -> bool:
    """Whether `cls` needs type arguments. (`nn.Module` has a `__class_getitem__` as generic classes have, but none.)"""
    return hasattr(cls, "__class_getitem__") and (
        not issubclass(cls, nn.Module) or bool(getattr(cls, "__parameters__", ()))
    )


def _names_around(cls: type | None) -> dict[str, Any]:
    """Names in the file of a class: its `__module__` may be another one, by which users know it."""
    init = inspect.unwrap(getattr(cls, "__init__", object.__init__))
    module = sys.modules.get(getattr(cls, "__module__", ""), types)
    return {**vars(module), **getattr(init, "__globals__", {})}
