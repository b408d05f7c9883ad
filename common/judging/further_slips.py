"""Slips that take more than the next key, and are as quickly mended: for wrong files, not for mutants."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, permutations

from common.judging.slips import ORDERED, Slip, in_place_of, lookalikes, shown, with_

_ALIKE = [
    ("view", "reshape"), ("repeat", "repeat_interleave"), ("movedim", "transpose"), ("expand", "repeat"),
    ("append", "extend"), ("floor", "ceil"), ("floor", "round"), ("std", "var"), ("max", "amax"), ("cat", "stack"),
    ("chunk", "split"), ("normal_", "uniform_"), ("log", "log1p"), ("log", "exp"), ("rand", "randn"), ("any", "all"),
    ("ones_like", "zeros_like"), ("is_causal", "training"), ("maximum", "minimum"), ("numel", "size"),
    ("update", "setdefault"), ("startswith", "endswith"), ("removeprefix", "removesuffix"),
]  # fmt: skip
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)
_SMALL = (-3, -2, -1, 0, 1, 2, 3, 4)  # axes, first entries, powers
_ERRORS = (
    "ValueError",
    "TypeError",
    "IndexError",
    "KeyError",
    "AttributeError",
    "FileNotFoundError",
)
_FACTORIES = {"arange", "empty", "eye", "full", "ones", "tensor", "zeros", "linspace"}
_AXES = (-2, -1, 0, 1, 2)
_ENDS = (ast.Return, ast.Raise, ast.Break, ast.Continue)  # what stands below these is never done
_STAY = (*_ENDS, ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


@dataclass(frozen=True)
class Near:
    """What else could stand in a place.

    Args:
        names: of the function around it. attributes: read of the same object elsewhere, by that object.
        texts: of the file, where they are few. numbers: of a right file.
        follows: the statement below in the same block.
    """

    names: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()
    follows: ast.stmt | None = None


def further_slips(node: ast.AST, near: Near) -> Iterator[Slip]:
    """Nodes that may have been meant where this one stands."""
    match node:
        case ast.BinOp() | ast.AugAssign():
            yield from _formulas(node)
        case ast.Compare(ops=[op]) if isinstance(op, ORDERED):
            for other in ORDERED:
                yield Slip(
                    f"another comparison in {shown(node)}, {{at}}", with_(node, ops=[other()])
                )
            for side in (node.left, *node.comparators):
                yield from _one_off(node, side)
        case ast.Tuple(elts=[_, _, *_]) if len(node.elts) <= 3:
            yield from _order(node)
        case ast.Subscript(slice=ast.Tuple(elts=[ast.Slice(), *_] as axes)):
            last = with_(node.slice, elts=[ast.Constant(...), *axes])
            yield Slip(f"other axes in {shown(node)}, {{at}}", with_(node, slice=last))
        case ast.Slice():
            for end in filter(None, (node.lower, node.upper)):
                yield from _one_off(node, end)
        case ast.BoolOp():
            for i, part in enumerate(node.values):
                rest = [*node.values[:i], *node.values[i + 1 :]]
                left = rest[0] if len(rest) == 1 else with_(node, values=rest)
                yield Slip(f"{shown(node)} without {shown(part)}, {{at}}", left)
        case ast.Call():
            yield from _calls(node, near)
        case ast.Attribute(attr="data" | "T" | "mT", ctx=ast.Load()):
            yield Slip(in_place_of(node.value, node), node.value)
        case ast.Constant(value=str(text)) if "{" in text:
            with contextlib.suppress(SyntaxError):
                filled = ast.parse(f"f{text!r}", mode="eval").body
                yield Slip(f"an f in front of {shown(node)}, {{at}}", filled)
        case ast.stmt():
            yield from _statements(node, near)
    yield from lookalikes(node, _ALIKE)


def substitutions(node: ast.AST, near: Near) -> Iterator[Slip]:
    """The node with another name, number or text in it: there are many of these."""
    match node:
        case ast.Constant() | ast.UnaryOp():
            yield from _constants(node, near)
        case ast.Name(id=name, ctx=ast.Load()):
            said = f"something else than `{name}` in {{code}}"
            for other in _ERRORS if name in _ERRORS else near.names:
                yield Slip(said, with_(node, id=other))
        case ast.Attribute(ctx=ast.Load()):
            for other in near.attributes:
                yield Slip(
                    f"something else than {shown(node)} in {{code}}", with_(node, attr=other)
                )


def _formulas(node: ast.BinOp | ast.AugAssign) -> Iterator[Slip]:
    if isinstance(node.op, _ARITHMETIC):
        for other in _ARITHMETIC:
            yield Slip(f"another operator in {shown(node)}, {{at}}", with_(node, op=other()))
    match node:
        case ast.AugAssign(target=target, value=value):
            new = ast.BinOp(_loaded(target), node.op, value)
            yield Slip(
                "a new value instead of the change in place, {code}",
                ast.Assign([target], new, lineno=1),
                apart=True,
            )
            return
        case ast.BinOp(left=ast.BinOp() as left, right=right):
            inner = ast.BinOp(left.right, node.op, right)
            yield Slip(
                f"other brackets in {shown(node)}, {{at}}", ast.BinOp(left.left, left.op, inner)
            )
        case ast.BinOp(left=left, right=ast.BinOp() as right):
            inner = ast.BinOp(left, node.op, right.left)
            yield Slip(
                f"other brackets in {shown(node)}, {{at}}",
                ast.BinOp(inner, right.op, right.right),
            )
        case ast.BinOp(left=ast.Call(args=[one]) as call, right=right):
            inside = ast.BinOp(one, node.op, right)
            yield Slip(f"other brackets in {shown(node)}, {{at}}", with_(call, args=[inside]))
    yield Slip(
        f"the two sides of {shown(node)} the other way round, {{at}}",
        with_(node, left=node.right, right=node.left),
    )


def _one_off(node: ast.expr, end: ast.expr) -> Iterator[Slip]:
    """The node with one of its parts greater or smaller by 1."""
    if isinstance(end, ast.Constant):
        return
    for op in (ast.Add(), ast.Sub()):
        new = ast.BinOp(end, op, ast.Constant(1))
        fields = {
            field: [new if part is end else part for part in value]
            if isinstance(value, list)
            else new
            for field, value in ast.iter_fields(node)
            if value is end or (isinstance(value, list) and end in value)
        }
        yield Slip(f"one more or one less than {shown(end)} in {{code}}", with_(node, **fields))


def _constants(node: ast.Constant | ast.UnaryOp, near: Near) -> Iterator[Slip]:
    match node:
        case ast.Constant(value=bool()):
            return
        case (
            ast.Constant(value=int() | float())
            | ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float()))
        ):
            for other in (*near.numbers, *(_SMALL if _is_whole(node) else ())):
                yield Slip(
                    f"another number in place of {shown(node)} in {{code}}", ast.Constant(other)
                )
        case ast.Constant(value=str(text)) if text in near.texts:
            for other in near.texts:
                yield Slip(
                    f"another text in place of {shown(node)} in {{code}}", ast.Constant(other)
                )


def _order(node: ast.Tuple) -> Iterator[Slip]:
    for i, j in combinations(range(len(node.elts)), 2):
        turned = [*node.elts]
        turned[i], turned[j] = node.elts[j], node.elts[i]
        said = f"{shown(node.elts[i])} and {shown(node.elts[j])} in each other's place, {{at}}"
        yield Slip(said, with_(node, elts=turned))


def _calls(node: ast.Call, near: Near) -> Iterator[Slip]:
    for i, j in combinations(range(len(node.args)), 2):
        turned = [*node.args]
        turned[i], turned[j] = node.args[j], node.args[i]
        said = f"{shown(node.args[i])} and {shown(node.args[j])} in each other's place, {{at}}"
        yield Slip(said, with_(node, args=turned))
    for i, keyword in enumerate(node.keywords):
        if isinstance(keyword.value, ast.Name | ast.Attribute):
            for other in (True, False):
                changed = [*node.keywords]
                changed[i] = with_(keyword, value=ast.Constant(other))
                said = f"another value of `{keyword.arg}` in {{code}}"
                yield Slip(said, with_(node, keywords=changed))
    match node:
        case ast.Call(func=ast.Attribute(attr="arange"), args=[first, last, *rest]):
            for op in (ast.Add(), ast.Sub()):
                moved = [ast.BinOp(end, op, ast.Constant(1)) for end in (first, last)]
                said = f"{shown(node)} begun and ended one earlier or later, {{at}}"
                yield Slip(said, with_(node, args=[*moved, *rest]))
        case ast.Call(func=ast.Name(id="range")):
            for end in node.args:
                yield from _one_off(node, end)
        case (
            ast.Call(func=ast.Name(id="len"), args=[counted])
            | ast.Call(func=ast.Attribute(value=counted, attr="numel"), args=[])
        ):
            for axis in _AXES:
                size = ast.Call(
                    ast.Attribute(counted, "size", ast.Load()), [ast.Constant(axis)], []
                )
                yield Slip(f"another size than {shown(node)} in {{code}}", size)
        case ast.Call(func=ast.Attribute(), args=[ast.expr() as a, ast.expr() as b]):
            if _is_whole(a) and _is_whole(b):
                for two in permutations(_AXES, 2):
                    axes = [ast.Constant(axis) for axis in two]
                    yield Slip(f"other numbers in {shown(node)}, {{at}}", with_(node, args=axes))
    if isinstance(node.func, ast.Attribute):
        yield from _methods(node, node.func.attr, near)


def _methods(node: ast.Call, name: str, near: Near) -> Iterator[Slip]:
    if name.endswith("_") and not name.endswith("__"):
        apart = with_(node, func=with_(node.func, attr=name.removesuffix("_")))
        yield Slip(
            f"`{name.removesuffix('_')}`, which makes a new tensor, in place of `{name}` in {{code}}",
            apart,
            apart=True,
        )
    if name in _FACTORIES:
        given = {k.arg for k in node.keywords}
        for other in near.names:
            for kinds in ("device",), ("dtype",), ("dtype", "device"):
                if "dtype" in given and "dtype" in kinds:
                    continue
                of = [
                    ast.Attribute(ast.Name(other, ast.Load()), kind, ast.Load()) for kind in kinds
                ]
                more = [ast.keyword(*pair) for pair in zip(kinds, of, strict=True)]
                kept = [k for k in node.keywords if k.arg not in kinds]
                whole = with_(node, keywords=[*kept, *more])
                yield Slip(f"the right {' and '.join(kinds)} for {shown(node)}, {{at}}", whole)


def _statements(node: ast.stmt, near: Near) -> Iterator[Slip]:
    yes = ast.Constant(True)
    match node:
        case ast.With():
            held = " and ".join(shown(item) for item in node.items)
            yield Slip(f"what is below {{at}} done without {held}", ast.If(yes, node.body, []))
        case ast.If(test=ast.Name() | ast.Attribute() as test):
            given = ast.Compare(test, [ast.IsNot()], [ast.Constant(None)])
            yield Slip(
                f"another question than whether {shown(test)} is true, {{at}}",
                with_(node, test=given),
            )
        case ast.Assert():
            error = ast.Call(ast.Name("ValueError", ast.Load()), [node.msg] if node.msg else [], [])
            raised = ast.If(ast.UnaryOp(ast.Not(), node.test), [ast.Raise(error)], [])
            yield Slip("another error than that of the assert, {code}", raised)
            yield Slip("{code}, left out", ast.Pass())
        case ast.Assign(
            targets=[ast.Attribute(value=ast.Name(id="self"), attr=name) as target], value=value
        ):
            add = ast.Attribute(ast.Name("self", ast.Load()), "register_buffer", ast.Load())
            unsaved = ast.keyword("persistent", ast.Constant(False))
            buffer = ast.Expr(ast.Call(add, [ast.Constant(name), value], [unsaved]))
            yield Slip(f"{shown(target)} as a buffer, {{code}}", buffer)
        case ast.FunctionDef() | ast.ClassDef():
            for mark in node.decorator_list:
                rest = [other for other in node.decorator_list if other is not mark]
                said = f"`@{shown(mark)[1:]} above {{at}} left out"
                yield Slip(said, with_(node, decorator_list=rest))
        case ast.Expr(value=ast.Attribute() as named):
            yield Slip(f"{shown(named)} called, {{at}}", ast.Expr(ast.Call(named, [], [])))
        case ast.Break() | ast.Continue():
            other = "continue" if isinstance(node, ast.Break) else "break"
            yield Slip(f"{{code}}, as `{other}`", ast.parse(other).body[0])
    match node:
        # A guard that refuses too much is put right, not taken away.
        case ast.If(orelse=other) if not all(isinstance(part, ast.Raise) for part in node.body):
            each = f"what is below {{at}} done each time, whether {shown(node.test)} or not"
            yield Slip(each, with_(node, test=yes), flips=bool(other))
            never = with_(node, test=ast.Constant(False))
            yield Slip("{code}, left out with what is below it", never, flips=bool(other))
    if near.follows and not isinstance(node, _STAY) and not isinstance(near.follows, _ENDS):
        both = ast.If(yes, [near.follows, node], [])
        yield Slip("{code}, after the statement below it", both)


def _is_whole(node: ast.expr) -> bool:
    """Whether it is an integer as it is written."""
    inner = node.operand if isinstance(node, ast.UnaryOp) else node
    return isinstance(inner, ast.Constant) and type(inner.value) is int


def _loaded(target: ast.expr) -> ast.expr:
    return with_(target, ctx=ast.Load())
