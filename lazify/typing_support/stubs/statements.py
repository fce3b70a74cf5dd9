"""The statements of a stub, from the statements of the source and the values that they produced at import."""

from __future__ import annotations

import ast
import enum
import typing
from collections.abc import Iterable, Iterator, Mapping
from inspect import Parameter, Signature
from types import ModuleType
from typing import Any

from lazify._lazy_class.constructor import RECIPE
from lazify._lazy_class.instance import LazyInstance
from lazify._recipe.binding import required_after_defaults
from lazify._recipe.recipe import Recipe
from lazify._recipe.signature_reading import VARIADIC, RawText
from lazify.typing_support.stubs.annotations import AnnotationWriter
from lazify.typing_support.stubs.conditions import executed_statements
from lazify.typing_support.stubs.modules import lazy_classes, syntax_tree
from lazify.typing_support.stubs.syntax import (
    FUNCTIONS,
    absolute_reexport,
    argument_annotations,
    assigned_targets,
    assignments,
    declaration,
    decorator_names,
    default_text,
    function_stub,
    overloads_only,
    positional_arguments,
    statement,
    stored_names,
    without_value,
)

__all__ = ["stub"]

#: Statements that a stub has as they are: `__all__ += [...]`, `type X = ...`.
COPIED_STATEMENTS: tuple[type, ...] = (ast.AugAssign, getattr(ast, "TypeAlias", ast.AugAssign))
#: mypy takes `MYPY` for true, and pyright does not know. Libraries that read stubs while they run (jsonargparse does,
#: with typeshed_client) take it for false, and read no further: the classes themselves tell them more. Libraries that
#: run stubs (pdoc) need a value.
ONLY_FOR_TYPE_CHECKERS = (
    "MYPY: bool = True\nassert MYPY  # for type checkers: at run time the classes themselves say more\n"
)


def stub(module: ModuleType) -> str:
    """The text of the stub of a module; the same text in every process.

    Raises:
        LazifyError: if there is no source.
    """
    writer = _StatementWriter(module)
    body = list(writer.statements(syntax_tree(module).body))
    header = f"# Made by: python -m lazify stub {module.__name__}\n{ONLY_FOR_TYPE_CHECKERS}"
    imports = map(statement, sorted({*writer.annotations.imports, "import typing"}))
    return header + "\n".join(ast.unparse(ast.fix_missing_locations(each)) for each in (*imports, *body)) + "\n"


class _StatementWriter:
    """Writes the statements of the stub of one module.

    Attributes:
        module: the module.
        annotations: writes the annotations, and collects imports.
        lazy: the lazy classes that are made by calls of `lazify`, by their names in the module.
        declared: the variables that the stub has already.
    """

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self.annotations = AnnotationWriter(module)
        self.lazy = {name: cls for name, cls in lazy_classes(module).items() if issubclass(cls, LazyInstance)}
        self.declared: set[str] = set()

    def statements(self, body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
        """The statements of the stub of the whole module."""
        for node in overloads_only(executed_statements(body, self.module)):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                if not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
                    yield absolute_reexport(node, self.package())
            elif isinstance(node, FUNCTIONS):
                yield function_stub(node, in_class=False)
            elif isinstance(node, ast.ClassDef):
                yield self.class_stub(node, vars(self.module).get(node.name))
            elif isinstance(node, ast.AnnAssign):
                yield without_value(node)
            elif isinstance(node, ast.Assign):
                for name in assigned_targets(node):
                    yield from self.variable(name, node)
            elif isinstance(node, COPIED_STATEMENTS):
                yield node
            else:  # loops and the like: only the variables that they assign
                for name in sorted(vars(self.module).keys() & stored_names(node)):
                    yield from self.variable(name)

    def package(self) -> str:
        """The package that relative imports in the module start from."""
        name = self.module.__name__
        return name if hasattr(self.module, "__path__") else name.rpartition(".")[0]

    def variable(self, name: str, node: ast.Assign | None = None) -> Iterator[ast.stmt]:
        """The declaration of a variable of the module, which `node` assigns."""
        value = vars(self.module).get(name)
        if name in self.declared:
            return
        self.declared.add(name)
        if name in self.lazy:
            yield from self.lazy_class(name, getattr(self.lazy[name], RECIPE))
        elif node is not None and (name == "__all__" or (len(node.targets) == 1 and _is_type(value))):
            yield node
        else:
            yield declaration(name, self.annotations.type_of_value(value))

    # -----------------------------------------------------------------------------------------
    # Lazy classes

    def lazy_class(self, name: str, recipe: Recipe) -> Iterator[ast.stmt]:
        """A lazy class made by a call of `lazify`: a metaclass, and a variable whose type is the metaclass.

        Type checkers then see a class, for `isinstance`, whose call returns an instance of the wrapped class.
        """
        metaclass = statement(f"class _{name}(type):\n    ...")
        assert isinstance(metaclass, ast.ClassDef)
        metaclass.body = [*self.constructors("__call__", recipe, self.annotations.annotation(recipe.wrapped), {})]
        yield metaclass
        yield declaration(name, f"_{name}")

    def constructors(
        self, method: str, recipe: Recipe, returns: str, source_annotations: Mapping[str, str]
    ) -> Iterator[ast.stmt]:
        """The lazified constructor, with the dropped parameters as optional keyword parameters; or its overloads."""
        dropped = [
            recipe.original_signature.parameters[name]
            for name in recipe.dropped
            if name in recipe.original_signature.parameters
        ]
        dropped = [p.replace(kind=Parameter.KEYWORD_ONLY, default=None) for p in dropped]
        forms = _valid_forms(list(recipe.signature.parameters.values()))
        for form in forms:
            # the numbers of the kinds are the order that Python requires
            parameters = sorted((*form, *dropped), key=lambda p: p.kind)
            is_positional_only = parameters and parameters[0].kind is Parameter.POSITIONAL_ONLY
            kind = Parameter.POSITIONAL_ONLY if is_positional_only else Parameter.POSITIONAL_OR_KEYWORD
            first = Parameter("self" if method == "__init__" else "cls", kind)
            signature = Signature([first, *(self.parameter(p, recipe, source_annotations) for p in parameters)])
            decorator = "@typing.overload\n" if len(forms) > 1 else ""
            yield statement(f"{decorator}def {method}{signature} -> {returns}: ...")

    def parameter(self, p: Parameter, recipe: Recipe, source_annotations: Mapping[str, str]) -> Parameter:
        """A parameter whose annotation and default print as source text."""
        annotation = source_annotations.get(p.name) or self.annotations.annotation(p.annotation, recipe.wrapped)
        default = p.default if p.default is p.empty else RawText(default_text(p.default, annotation))
        return p.replace(annotation=RawText(annotation), default=default)

    # -----------------------------------------------------------------------------------------
    # Class statements

    def class_stub(self, node: ast.ClassDef, cls: Any) -> ast.ClassDef:
        """A class statement with declarations as its body; a decorated lazy class without its decorator."""
        recipe: Recipe | None = vars(cls).get(RECIPE) if isinstance(cls, type) else None
        body = list(self.members(node, cls, recipe))
        if recipe is not None:
            node.decorator_list = [each for each in node.decorator_list if not self.is_lazify(each)]
        node.body = body or [ast.Expr(ast.Constant(...))]
        return node

    def is_lazify(self, decorator: ast.expr) -> bool:
        """Whether a decorator is `lazify`, called or not."""
        function = self.annotations.value_of(decorator.func if isinstance(decorator, ast.Call) else decorator)
        return getattr(function, "__module__", None) == "lazify.api"

    def members(self, node: ast.ClassDef, cls: Any, recipe: Recipe | None) -> Iterator[ast.stmt]:
        """The declarations of methods, class variables and attributes of instances."""
        body = list(overloads_only(executed_statements(node.body, self.module)))
        attributes = self.instance_attributes(node)  # before the methods lose their bodies
        declared = {each.name for each in body if isinstance(each, (*FUNCTIONS, ast.ClassDef))}
        for each in body:
            if isinstance(each, FUNCTIONS):
                if each.name == "__init__" and recipe is not None:
                    yield from self.constructors("__init__", recipe, "None", argument_annotations(each))
                else:
                    yield function_stub(each, in_class=True)
            elif isinstance(each, ast.ClassDef):
                yield self.class_stub(each, getattr(cls, each.name, None))
            elif isinstance(each, ast.AnnAssign):
                declared.add(ast.unparse(each.target))
                yield without_value(each)
            elif isinstance(each, ast.Assign):
                declared.update(assigned_targets(each))
                yield from self.class_variables(each, cls)
        if recipe is not None and "__init__" not in declared:
            yield from self.constructors("__init__", recipe, "None", {})
        no_field = ""
        if isinstance(cls, type) and "__dataclass_fields__" in vars(cls):
            self.annotations.imports.add("import dataclasses")
            no_field = " = dataclasses.field(init=False)"  # else type checkers add it to the constructor
        yield from (declaration(name, kind + no_field) for name, kind in attributes.items() if name not in declared)

    def class_variables(self, node: ast.Assign, cls: Any) -> Iterator[ast.stmt]:
        """The declarations of the class variables that `node` assigns."""
        if isinstance(cls, type) and issubclass(cls, enum.Enum):
            node.value = node.value if isinstance(node.value, ast.Constant) else ast.Constant(...)
            yield node
            return
        for name in assigned_targets(node):
            yield declaration(name, self.annotations.type_of_value(getattr(cls, name, None)))

    def instance_attributes(self, node: ast.ClassDef) -> dict[str, str]:
        """Attribute of `self` to which a method assigns -> annotation."""
        found: dict[str, str] = {}
        for method in (each for each in node.body if isinstance(each, FUNCTIONS)):
            if {"staticmethod", "classmethod"} & {*decorator_names(method)}:
                continue
            self_name = [each.arg for each in positional_arguments(method)[:1]]
            annotations = argument_annotations(method)
            for target, value, written in assignments(method):
                if isinstance(target, ast.Attribute) and [ast.unparse(target.value)] == self_name:
                    annotation = written or self.annotations.type_of_expression(value, annotations)
                    found.setdefault(target.attr, annotation)
        return found


def _valid_forms(parameters: list[Parameter]) -> list[list[Parameter]]:
    """The parameters of a constructor, twice where a required one follows one that may be left out.

    Then either all up to the last required one are given, or only the required ones by position.
    """
    late = required_after_defaults(parameters)
    if not late:
        return [parameters]
    last = max(place for place, p in enumerate(parameters) if p.name in late)
    all_given = [p.replace(default=p.empty) for p in parameters[: last + 1]] + parameters[last + 1 :]
    by_keyword = [
        p if p.default is p.empty or p.kind in VARIADIC else p.replace(kind=Parameter.KEYWORD_ONLY) for p in parameters
    ]
    return [all_given, by_keyword]


def _is_type(value: Any) -> bool:
    """Whether type checkers must read the assignment itself: type aliases, type variables, classes."""
    type_variables = (typing.TypeVar, typing.ParamSpec, typing.NewType)
    is_class = isinstance(value, type) and RECIPE not in vars(value)
    return is_class or isinstance(value, type_variables) or typing.get_origin(value) is not None
