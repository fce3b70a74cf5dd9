"""Stubs: a module as type checkers should see it, the lazified constructors written out.

source -> the same statements without bodies; what `lazify` made of a class is read from the imported module
"""

from __future__ import annotations

import ast
import enum
import importlib
import math
import pkgutil
import sys
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from inspect import Parameter, Signature
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from lazify.errors import LazifyError, compose
from lazify.lazyclass import RECIPE, LazyInstance
from lazify.recipe import Recipe
from lazify.signatures import Source

__all__ = ["lazy_classes", "stub", "write"]

ANY = "typing.Any"
#: What holds other things, of whatever type: one word each.
HOLDERS: Mapping[Any, str] = {
    list: f"list[{ANY}]",
    set: f"set[{ANY}]",
    tuple: f"tuple[{ANY}, ...]",
    dict: f"dict[{ANY}, {ANY}]",
}
Statement = ast.stmt
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
#: Methods that return nothing.
NOTHING = ("__init__", "__init_subclass__", "__post_init__", "__setattr__", "__delattr__", "__setitem__", "__delitem__")
#: What stays as it is: `__all__ += [...]`, `type X = ...`.
KEPT: tuple[type, ...] = (ast.AugAssign, getattr(ast, "TypeAlias", ast.AugAssign))


def write(name: str, directory: Path | None = None) -> list[Path]:
    """Write the stubs of a module, or of a package and all modules in it that have lazy classes.

    Args:
        name: dotted, as one would import it. The module is imported.
        directory: where to put them, in folders as packages are; `__init__.pyi` of the packages around come along,
            without which checkers would not look there. Left out: beside the sources.

    Returns:
        The files, sorted.

    Raises:
        LazifyError: if there are no lazy classes, or no source.
    """
    modules = {each.__name__: each for each in _modules(importlib.import_module(name)) if lazy_classes(each)}
    if not modules:
        raise LazifyError(compose(f"there are no lazy classes in {name!r}", fix="LazyBlock = lazify(Block)"))
    if directory is not None:
        packages = {n.rpartition(".")[0] for n in modules} | {n.split(".")[0] for n in modules if "." in n}
        around = {".".join(p.split(".")[:end]) for p in packages for end in range(1, p.count(".") + 2) if p}
        modules = {package: importlib.import_module(package) for package in around} | modules
    written = []
    for each in modules.values():
        path = _path(each, directory)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(stub(each), encoding="utf-8")
        written.append(path)
    return sorted(written)


def _modules(module: ModuleType) -> Iterator[ModuleType]:
    yield module
    for found in pkgutil.iter_modules(getattr(module, "__path__", ()), f"{module.__name__}."):
        if not found.name.endswith("__main__"):
            yield from _modules(importlib.import_module(found.name))


def _path(module: ModuleType, directory: Path | None) -> Path:
    if directory is None:
        return _file(module).with_suffix(".pyi")
    parts = [*module.__name__.split("."), *(["__init__"] if hasattr(module, "__path__") else [])]
    return directory.joinpath(*parts).with_suffix(".pyi")


def lazy_classes(module: ModuleType) -> dict[str, type[nn.Module]]:
    """The lazy classes that are made in a module, under their names there.

    >>> import lazify.nn
    >>> lazy_classes(lazify.nn)["LazyLSTM"]
    <class 'lazify.nn.LazyLSTM'>
    """
    assigned = _assigned(ast.parse(_source(module)))
    found = {}
    for name, value in vars(module).items():
        if not isinstance(value, type) or RECIPE not in vars(value):
            continue
        decorated = vars(value)[RECIPE].decorated
        if (value.__module__ == module.__name__) if decorated else name in assigned:
            found[name] = value
    return found


def _source(module: ModuleType) -> str:
    return _file(module).read_text(encoding="utf-8")


def _file(module: ModuleType) -> Path:
    file = Path(getattr(module, "__file__", None) or "")
    if file.suffix != ".py":
        raise LazifyError(f"there is no source of {module.__name__!r} to make a stub from")
    return file


def _assigned(tree: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def stub(module: ModuleType) -> str:
    """The text of the stub of a module; the same each time.

    Raises:
        LazifyError: if there is no source.
    """
    writer = _Writer(module)
    body = list(writer.statements(ast.parse(_source(module)).body))
    header = f"# Made by: python -m lazify stub {module.__name__}\n"
    imports = [ast.parse(line).body[0] for line in sorted({*writer.imports, "import typing"})]
    return header + "\n".join(ast.unparse(ast.fix_missing_locations(each)) for each in (*imports, *body)) + "\n"


# ---------------------------------------------------------------------------------------------
# Statements


@dataclass
class _Writer:
    """One module on its way: what was imported for it, what was declared."""

    module: ModuleType
    imports: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.lazy = {n: each for n, each in lazy_classes(self.module).items() if issubclass(each, LazyInstance)}
        self.declared: set[str] = set()

    def statements(self, body: Iterable[Statement]) -> Iterator[Statement]:
        for node in _without_implementations(self.flat(body)):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                yield from _exported(node, self.module)
            elif isinstance(node, FUNCTIONS):
                yield _typed(node, in_class=False)
            elif isinstance(node, ast.ClassDef):
                yield self.cls(node, vars(self.module).get(node.name))
            elif isinstance(node, ast.AnnAssign):
                yield _declared(node)
            elif isinstance(node, ast.Assign):
                for name in _targets(node):
                    yield from self.assigned(name, node)
            elif isinstance(node, KEPT):
                yield node
            else:  # in loops and the like
                for name in sorted(_assigned(node) & vars(self.module).keys()):
                    yield from self.assigned(name)

    def flat(self, body: Iterable[Statement]) -> Iterator[Statement]:
        """What is there under conditions, too."""
        for node in body:
            if isinstance(node, ast.If):
                yield from self.flat(node.body if self.holds(node.test) else node.orelse)
            elif isinstance(node, ast.Try):
                body = [each for each in self.flat([*node.body, *node.orelse]) if not self.failed(each)]
                yield from body
                others = self.flat(each for handler in node.handlers for each in handler.body)
                yield from (each for each in others if not _bound([each]) & _bound(body))
            elif isinstance(node, ast.With):
                yield from self.flat(node.body)
            else:
                yield node

    def failed(self, node: Statement) -> bool:
        """Whether it is an import that did not succeed."""
        return isinstance(node, (ast.Import, ast.ImportFrom)) and not _bound([node]) <= {*vars(self.module), "*"}

    def holds(self, test: ast.expr) -> bool:
        """As when the module was imported; what is there for checkers only, is there."""
        if any(isinstance(each, ast.Call) for each in ast.walk(test)):
            return True
        scope = {**vars(self.module), "TYPE_CHECKING": True}
        try:
            return bool(eval(compile(ast.Expression(test), "<condition>", "eval"), scope))
        except Exception:
            return True

    def assigned(self, name: str, node: ast.Assign | None = None) -> Iterator[Statement]:
        value = vars(self.module).get(name)
        if name in self.declared:
            return
        self.declared.add(name)
        if name in self.lazy:
            yield from self.lazy_class(name, getattr(self.lazy[name], RECIPE))
        elif node is not None and (name == "__all__" or (len(node.targets) == 1 and _is_type(value))):
            yield node
        else:
            yield _annotated(name, self.type_of(value))

    # classes

    def cls(self, node: ast.ClassDef, cls: Any) -> ast.ClassDef:
        recipe: Recipe | None = vars(cls).get(RECIPE) if isinstance(cls, type) else None
        body = list(self.members(node, cls, recipe))
        if recipe is not None:
            node.decorator_list = [each for each in node.decorator_list if not self.is_lazify(each)]
        node.body = body or [ast.Expr(ast.Constant(...))]
        return node

    def is_lazify(self, decorator: ast.expr) -> bool:
        function = decorator.func if isinstance(decorator, ast.Call) else decorator
        found = self.evaluated(function)
        return getattr(found, "__module__", None) == "lazify.api"

    def members(self, node: ast.ClassDef, cls: Any, recipe: Recipe | None) -> Iterator[Statement]:
        body = list(_without_implementations(self.flat(node.body)))
        attributes = self.attributes(node)  # first: methods lose their bodies
        known = {each.name for each in body if isinstance(each, (*FUNCTIONS, ast.ClassDef))}
        for each in body:
            if isinstance(each, FUNCTIONS):
                if each.name == "__init__" and recipe is not None:
                    yield self.constructor("__init__", recipe, "None", _annotations(each))
                else:
                    yield _typed(each, in_class=True)
            elif isinstance(each, ast.ClassDef):
                yield self.cls(each, getattr(cls, each.name, None))
            elif isinstance(each, ast.AnnAssign):
                known.add(ast.unparse(each.target))
                yield _declared(each)
            elif isinstance(each, ast.Assign):
                known.update(_targets(each))
                yield from self.class_variables(each, cls)
        if recipe is not None and "__init__" not in known:
            yield self.constructor("__init__", recipe, "None", {})
        no_field = ""
        if isinstance(cls, type) and "__dataclass_fields__" in vars(cls):
            self.imports.add("import dataclasses")
            no_field = " = dataclasses.field(init=False)"  # else an argument of the constructor
        yield from (_annotated(name, kind + no_field) for name, kind in attributes.items() if name not in known)

    def class_variables(self, node: ast.Assign, cls: Any) -> Iterator[Statement]:
        if isinstance(cls, type) and issubclass(cls, enum.Enum):
            node.value = node.value if isinstance(node.value, ast.Constant) else ast.Constant(...)
            yield node
        else:
            yield from (_annotated(name, self.type_of(getattr(cls, name, None))) for name in _targets(node))

    def attributes(self, node: ast.ClassDef) -> dict[str, str]:
        """What methods assign to `self`, with what can be told of its type."""
        found: dict[str, str] = {}
        for method in (each for each in node.body if isinstance(each, FUNCTIONS) and not _is_static(each)):
            own = [each.arg for each in (*method.args.posonlyargs, *method.args.args)][:1]
            annotations = _annotations(method)
            for target, value, written in _assignments(method):
                if isinstance(target, ast.Attribute) and [ast.unparse(target.value)] == own:
                    found.setdefault(target.attr, written or self.type_of_expression(value, annotations))
        return found

    def lazy_class(self, name: str, recipe: Recipe) -> Iterator[Statement]:
        """A callable that is a class for `isinstance`: checkers have no better word for one that makes another's."""
        meta = ast.parse(f"class _{name}(type):\n    ...").body[0]
        assert isinstance(meta, ast.ClassDef)
        meta.body = [self.constructor("__call__", recipe, self.formatted(recipe.wrapped), {})]
        yield meta
        yield _annotated(name, f"_{name}")

    def constructor(self, method: str, recipe: Recipe, result: str, written: Mapping[str, str]) -> Statement:
        """As shown, and the dropped arguments, which may be passed by keyword."""
        dropped = [recipe.signature.parameters[name] for name in recipe.rules if name in recipe.signature.parameters]
        dropped = [p.replace(kind=Parameter.KEYWORD_ONLY, default=None) for p in dropped]
        parameters = sorted(
            (*recipe.lazified.parameters.values(), *dropped), key=lambda p: p.kind
        )  # Python's own order, in which kinds are numbered
        positional = parameters[:1] and parameters[0].kind is Parameter.POSITIONAL_ONLY
        kind = Parameter.POSITIONAL_ONLY if positional else Parameter.POSITIONAL_OR_KEYWORD
        first = Parameter("self" if method == "__init__" else "cls", kind)
        signature = Signature([first, *(self.parameter(p, recipe, written) for p in parameters)])
        return ast.parse(f"def {method}{signature} -> {result}: ...").body[0]

    def parameter(self, p: Parameter, recipe: Recipe, written: Mapping[str, str]) -> Parameter:
        annotation = written.get(p.name) or self.formatted(p.annotation, recipe.wrapped)
        default = p.default if p.default is p.empty else Source(_default(p.default, annotation))
        return p.replace(annotation=Source(annotation), default=default)

    # types

    def formatted(self, annotation: Any, cls: type | None = None) -> str:
        """An annotation found at run time as source; text is read where `cls` was defined."""
        if isinstance(annotation, str):
            try:
                annotation = eval(annotation, dict(vars(sys.modules.get(getattr(cls, "__module__", ""), types))))
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
            return self.formatted(arguments[0], cls)
        if origin is typing.Union or origin is getattr(types, "UnionType", None):
            return " | ".join(dict.fromkeys(self.formatted(each, cls) for each in arguments))
        if origin is not None:
            return f"{self.formatted(origin)}[{', '.join(self.argument(each, cls) for each in arguments)}]"
        return self.named(annotation) if isinstance(annotation, type) else ANY

    def argument(self, argument: Any, cls: type | None) -> str:
        if isinstance(argument, list):
            return f"[{', '.join(self.formatted(each, cls) for each in argument)}]"
        return "..." if argument is ... else self.formatted(argument, cls)

    def named(self, cls: Any) -> str:
        """A class by the name under which it can be found, if there is one."""
        where, name = str(cls.__module__), str(cls.__qualname__)
        if where == "builtins":
            return name
        found: Any = sys.modules.get(where)
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is not cls:
            return ANY
        if where == self.module.__name__:
            return name
        package = where.split(".")[0]
        if vars(self.module).get(package, sys.modules[package]) is sys.modules[package]:
            self.imports.add(f"import {where}")
            return f"{where}.{name}"
        alias = "_" + where.replace(".", "_")  # `from lazify import lazify`: the name of the package is another's here
        self.imports.add(f"import {where} as {alias}")
        return f"{alias}.{name}"

    def type_of(self, value: Any) -> str:
        if value is None or isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)):
            return ANY
        cls = type(value)
        return HOLDERS.get(cls) or (ANY if _is_generic(cls) else self.named(cls))

    def type_of_expression(self, value: ast.expr | None, annotations: Mapping[str, str]) -> str:
        """Of what a method assigns to an attribute: a constant, an annotated argument, a call of a class."""
        if isinstance(value, ast.Constant):
            return self.type_of(value.value)
        if isinstance(value, ast.Name):
            return annotations.get(value.id, ANY)
        if not isinstance(value, ast.Call) or not isinstance(cls := self.evaluated(value.func), type):
            return ANY
        recipe: Recipe | None = getattr(cls, RECIPE, None)
        if recipe is not None and issubclass(cls, LazyInstance):
            return self.formatted(recipe.wrapped)
        return ANY if _is_generic(cls) else ast.unparse(value.func)

    def evaluated(self, expression: ast.expr) -> Any:
        """A dotted name of the module, at run time."""
        if isinstance(expression, ast.Name):
            return vars(self.module).get(expression.id)
        if isinstance(expression, ast.Attribute):
            return getattr(self.evaluated(expression.value), expression.attr, None)
        return None


def _without_implementations(body: Iterable[Statement]) -> Iterator[Statement]:
    """Of an overloaded function a stub has the overloads only."""
    overloaded = set()
    for node in body:
        if isinstance(node, FUNCTIONS):
            if any(ast.unparse(each).endswith("overload") for each in node.decorator_list):
                overloaded.add(node.name)
            elif node.name in overloaded:
                continue
        yield node


def _is_type(value: Any) -> bool:
    """Whether the statement that made it means something to a checker as it is: aliases, type variables."""
    special = (
        isinstance(value, (typing.TypeVar, typing.ParamSpec, typing.NewType)) or typing.get_origin(value) is not None
    )
    return special or (isinstance(value, type) and RECIPE not in vars(value))


def _is_generic(cls: type) -> bool:
    """Whether the bare name says too little. (`nn.Module` has what generic classes have, and is none.)"""
    return hasattr(cls, "__class_getitem__") and (
        not issubclass(cls, nn.Module) or bool(getattr(cls, "__parameters__", ()))
    )


def _exported(node: ast.Import | ast.ImportFrom, module: ModuleType) -> Iterator[Statement]:
    """With `as`, which makes a name in a stub one that can be imported from there.

    Not relative: beside a stub that lies elsewhere there are not all modules.
    """
    if isinstance(node, ast.ImportFrom) and node.module == "__future__":
        return
    if isinstance(node, ast.ImportFrom) and node.level:
        package = module.__name__ if hasattr(module, "__path__") else module.__name__.rpartition(".")[0]
        above = package.split(".")[: package.count(".") + 2 - node.level]
        node.module, node.level = ".".join([*above, *([node.module] if node.module else [])]), 0
    for each in node.names:
        if each.name != "*" and (isinstance(node, ast.ImportFrom) or "." not in each.name):
            each.asname = each.asname or each.name
    yield node


def _bound(body: Iterable[Statement]) -> set[str]:
    """The names that statements give something to."""
    names: set[str] = set()
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(each.asname or each.name).split(".")[0] for each in node.names}
        elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            names.add(node.name)
        else:
            names |= _assigned(node)
    return names


def _targets(node: ast.Assign) -> list[str]:
    found = [n for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)]
    return [n.id for n in found if isinstance(n.ctx, ast.Store)]


def _assignments(method: ast.AST) -> Iterator[tuple[ast.expr, ast.expr | None, str]]:
    """Target, value and annotation of every assignment; of `a, b = c, d` two."""
    for each in ast.walk(method):
        if isinstance(each, ast.AnnAssign):
            yield each.target, each.value, ast.unparse(each.annotation)
        for target in each.targets if isinstance(each, ast.Assign) else ():
            assert isinstance(each, ast.Assign)
            if isinstance(target, (ast.Tuple, ast.List)):
                values = each.value.elts if isinstance(each.value, (ast.Tuple, ast.List)) else ()
                known = dict(enumerate(values if len(values) == len(target.elts) else ()))
                yield from ((one, known.get(number), "") for number, one in enumerate(target.elts))
            else:
                yield target, each.value, ""


def _annotated(name: str, annotation: str) -> Statement:
    return ast.parse(f"{name}: {annotation}").body[0]


def _declared(node: ast.AnnAssign) -> Statement:
    """Without the value, but for what it says that there is one, for aliases and for fields of dataclasses."""
    is_field = isinstance(node.value, ast.Call) and ast.unparse(node.value.func).endswith("field")
    means = any(word in ast.unparse(node.annotation) for word in ("TypeAlias", "Final"))
    if node.value is not None and not is_field and not means:
        node.value = ast.Constant(...)
    return node


def _annotations(method: Any) -> dict[str, str]:
    arguments = [*method.args.posonlyargs, *method.args.args, *method.args.kwonlyargs]
    return {each.arg: ast.unparse(each.annotation) for each in arguments if each.annotation is not None}


def _is_static(method: Any) -> bool:
    return any(ast.unparse(each) in ("staticmethod", "classmethod") for each in method.decorator_list)


def _literal(default: ast.expr, annotation: ast.expr | None) -> ast.expr:
    try:
        value = ast.literal_eval(default)
    except ValueError:
        value = ...
    return ast.parse(_default(value, ast.unparse(annotation) if annotation is not None else ANY), mode="eval").body


def _default(value: Any, annotation: str) -> str:
    """A default as it can be read, where it is one word and no checker will object."""
    if value is None:
        return "None" if annotation == ANY or "None" in annotation or "Optional" in annotation else "..."
    simple = isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value))
    return repr(value) if simple and type(value) in (bool, int, str, float) else "..."


def _typed(node: Any, in_class: bool) -> Any:
    """A function without its body, `Any` where nothing is annotated."""
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    bound = positional[:1] if in_class and "staticmethod" not in map(ast.unparse, node.decorator_list) else []
    variadic = [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
    for each in (*positional, *arguments.kwonlyargs, *variadic):
        if each.annotation is None and each not in bound:
            each.annotation = ast.parse(ANY, mode="eval").body
    given = [*zip(positional[-len(arguments.defaults) or len(positional) :], arguments.defaults, strict=True)]
    arguments.defaults = [_literal(default, each.annotation) for each, default in given]
    keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    arguments.kw_defaults = [default and _literal(default, each.annotation) for each, default in keywords]
    if node.returns is None:
        node.returns = ast.parse("None" if node.name in NOTHING else ANY, mode="eval").body
    if isinstance(node, ast.AsyncFunctionDef) and any(isinstance(each, ast.Yield) for each in ast.walk(node)):
        node = ast.FunctionDef(**dict(ast.iter_fields(node)))  # an asynchronous generator: without a body, a plain one
    node.body = [ast.Expr(ast.Constant(...))]
    return node
