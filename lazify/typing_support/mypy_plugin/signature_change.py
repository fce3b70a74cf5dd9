"""`SignatureChange`: which parameters a constructor loses and gains, read from a class and the written `exclude`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from inspect import Parameter, Signature
from typing import TypeAlias

from mypy import nodes
from mypy.nodes import ArgKind, Expression, TypeInfo
from mypy.types import AnyType, CallableType, Type, TypeOfAny

from lazify._recipe.naming_conventions import Sizes, any_size, sizes_of
from lazify._recipe.signature_reading import VARIADIC
from lazify._recipe.torch_nn_table import KNOWN
from lazify.typing_support.mypy_plugin.reading import (
    AXIS,
    DEFAULT_NOT_CACHED,
    POSITIONAL,
    LazifyOptions,
    excluded,
    method_signature,
    rule_parameters,
)

__all__ = ["UNKNOWN_TYPE", "AddedParameter", "RuleParameterType", "SignatureChange"]

UNKNOWN_TYPE = AnyType(TypeOfAny.special_form)
#: The type of a parameter of a rule, by the full name of the rule's function and the name of the parameter.
RuleParameterType: TypeAlias = Callable[[str, str], Type]
#: Under this key mypy stores a change in the metadata of a decorated class, in its cache, too.
METADATA_KEY = "lazify"

#: Full name of a class of torch.nn -> the parameters that lazify drops where the user names none.
TORCH_NN_PARAMETERS: Mapping[str, Iterable[str]] = {
    f"{cls.__module__}.{cls.__qualname__}": tuple(row.inferred) for cls, row in KNOWN.items()
}


@dataclass(frozen=True)
class AddedParameter:
    """A keyword parameter that only a rule reads.

    Attributes:
        name: the parameter's name.
        required: whether the parameter has no default.
        function: the full name of the rule's function; empty for a lambda.
    """

    name: str
    required: bool
    function: str


@dataclass(frozen=True)
class SignatureChange:
    """What `lazify` changes in a constructor.

    Attributes:
        dropped: the names of the inferred parameters. They can still be passed by keyword.
        added: the parameters that only rules read.
        names: the names of all parameters in order, positional-only ones included, whose names mypy does not keep;
            empty for a dataclass, whose constructor mypy generates later.
        takes_any_keyword: whether a rule has parameters that cannot be read, so that any keyword may be one of them.
        keyword_only: whether the parameters that are left are keyword-only.
        optional: the names of required parameters that may be left out.
    """

    dropped: tuple[str, ...]
    added: tuple[AddedParameter, ...] = ()
    names: tuple[str, ...] = ()
    takes_any_keyword: bool = False
    keyword_only: bool = False
    optional: tuple[str, ...] = ()

    @classmethod
    def from_source(
        cls, info: TypeInfo, options: LazifyOptions, report: Callable[[str], None]
    ) -> SignatureChange | None:
        """The change for a class and the options of `lazify`; None if it cannot be read from the source.

        `report` is called with an error message if `exclude` names an unknown parameter.
        """
        # the constructor of a dataclass is not generated yet
        is_dataclass = "dataclass_tag" in info.metadata and "__init__" not in info.names
        constructor = _dataclass_signature(info) if is_dataclass else method_signature(info, "__init__")
        forward = method_signature(info, "forward")
        is_anything = isinstance(options.exclude, nodes.EllipsisExpr)
        rules = {} if is_anything else excluded(options.exclude)
        if rules is None or options.keyword_only is None or info.fallback_to_any:
            return None
        sizes = Sizes(tuple(rules)) if rules else _default_sizes(info, constructor, forward, is_anything)
        dropped = sizes.dropped
        unknown = [name for name in dropped if name not in constructor.parameters]
        if unknown and not any(p.kind in VARIADIC for p in constructor.parameters.values()):
            report(
                f'"{info.name}" has no constructor parameter {", ".join(map(repr, unknown))}; '
                f"it has {', '.join(constructor.parameters)}"
            )
            return None
        if not dropped and not sizes.optional:
            return None
        added = _added_parameters(rules, {*forward.parameters, *constructor.parameters})
        takes_any_keyword = any(rule_parameters(rule) is None for rule in rules.values())
        names = () if is_dataclass else tuple(constructor.parameters)
        return cls(dropped, added, names, takes_any_keyword, options.keyword_only, sizes.optional)

    @classmethod
    def of_decorated(cls, info: TypeInfo) -> SignatureChange | None:
        """The change stored with the decorated class whose constructor `info` has; None if there is none."""
        for base in info.mro:
            if METADATA_KEY in base.metadata:
                stored = base.metadata[METADATA_KEY]
                added = tuple(AddedParameter(**each) for each in stored["added"])
                named = {field: tuple(stored[field]) for field in ("dropped", "names", "optional")}
                return cls(**{**stored, **named, "added": added})
            if "__init__" in base.names:
                return None
        return None

    def store(self, info: TypeInfo) -> None:
        """Store the change with a decorated class."""
        info.metadata[METADATA_KEY] = asdict(self)

    def apply(self, constructor: CallableType, rule_parameter_type: RuleParameterType) -> CallableType:
        """The changed constructor."""
        arguments = [*zip(constructor.arg_types, constructor.arg_kinds, constructor.arg_names, strict=True)]
        names = self.names if len(self.names) == len(arguments) else [None] * len(arguments)
        named = [(each, each[2] or name) for each, name in zip(arguments, names, strict=True)]
        kept = [self._kept(argument, name) for argument, name in named if name not in self.dropped]
        double_star = [argument for argument in kept if argument[1] == ArgKind.ARG_STAR2]
        if self.takes_any_keyword and not double_star:
            double_star = [(UNKNOWN_TYPE, ArgKind.ARG_STAR2, "rules")]
        changed = [
            *(argument for argument in kept if argument[1] != ArgKind.ARG_STAR2),
            *((rule_parameter_type(p.function, p.name), _keyword_kind(p.required), p.name) for p in self.added),
            *((argument[0], _keyword_kind(False), name) for argument, name in named if name in self.dropped),
            *double_star,
        ]
        return constructor.copy_modified(
            arg_types=[each[0] for each in changed],
            arg_kinds=[each[1] for each in changed],
            arg_names=[each[2] for each in changed],
        )

    def _kept(self, argument: tuple[Type, ArgKind, str | None], name: str | None) -> tuple[Type, ArgKind, str | None]:
        """A parameter that is left: with a default if it may be left out, keyword-only if all are."""
        type_, kind, given_name = argument
        if name in self.optional:
            kind = _OPTIONAL.get(kind, kind)
        if self.keyword_only and kind in POSITIONAL:
            return type_, _keyword_kind(kind == ArgKind.ARG_POS), name
        return type_, kind, given_name


_OPTIONAL = {ArgKind.ARG_POS: ArgKind.ARG_OPT, ArgKind.ARG_NAMED: ArgKind.ARG_NAMED_OPT}


def _keyword_kind(required: bool) -> ArgKind:
    return ArgKind.ARG_NAMED if required else ArgKind.ARG_NAMED_OPT


def _added_parameters(rules: Mapping[str, Expression | None], existing: set[str]) -> tuple[AddedParameter, ...]:
    """The parameters of rules that are neither arguments of `forward` nor of the constructor."""
    added = {
        p.name: AddedParameter(p.name, p.default is p.empty, rule.fullname if isinstance(rule, nodes.RefExpr) else "")
        for rule in rules.values()
        for p in rule_parameters(rule) or ()
        if p.kind not in VARIADIC
        if p.name not in existing and p.name not in rules
    }
    return tuple(added.values())


def _dataclass_signature(info: TypeInfo) -> Signature:
    """The names of the fields of a dataclass and its bases, as keyword parameters."""
    variables = {
        name: symbol.node
        for base in reversed(info.mro)
        for name, symbol in base.names.items()
        if "dataclass_tag" in base.metadata
    }
    names = [name for name, node in variables.items() if isinstance(node, nodes.Var) and not node.is_classvar]
    return Signature([Parameter(name, Parameter.KEYWORD_ONLY) for name in names])


def _default_sizes(info: TypeInfo, constructor: Signature, forward: Signature, is_anything: bool) -> Sizes:
    """The parameters that may be inferred where none is named: by rules as defaults, the torch.nn table, names."""
    marked = [p.name for p in constructor.parameters.values() if p.default is AXIS]
    if marked and not is_anything:
        return Sizes(tuple(marked))
    table = next((TORCH_NN_PARAMETERS[base.fullname] for base in info.mro if base.fullname in TORCH_NN_PARAMETERS), ())
    by_row = [name for name in table if name in constructor.parameters]
    if by_row and not is_anything:
        return Sizes(tuple(by_row))
    if any(p.default is DEFAULT_NOT_CACHED for p in constructor.parameters.values()):
        return Sizes()  # the class comes from mypy's cache, and any of its defaults may be a rule
    sizes = (any_size if is_anything else sizes_of)(constructor, forward.parameters)
    symbol = info.get("__init__")
    if symbol is not None and isinstance(symbol.node, nodes.OverloadedFuncDef):
        return Sizes(sizes.dropped)  # the defaults of the implementation, which may be rules, are not seen
    dropped = tuple(dict.fromkeys([*marked, *by_row, *sizes.dropped]))
    return replace(sizes, dropped=dropped, optional=tuple(name for name in sizes.optional if name not in dropped))
