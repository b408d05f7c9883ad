"""The small ways in which one piece of code differs from another that was meant: each gives a new node for an old one.

What is said of a way names the piece and what is peculiar about it, not what belongs there. `{at}` stands for the
line, `{code}` for the line and its text.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple


class Slip(NamedTuple):
    """What is said of a way, the node in the place of the old one, and what kind it is.

    Args:
        flips: a condition turns into its opposite.
        apart: what was written in place becomes a new value; nothing else changes.
    """

    said: str
    new: ast.AST
    flips: bool = False
    apart: bool = False


_OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.MatMult: ast.Mult,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip

# Names that a hand takes for one another.
_LOOKALIKES = [
    ("q", "k"), ("k", "v"), ("query", "key"), ("key", "value"), ("ln_1", "ln_2"), ("ln_1", "ln_f"), ("wte", "wpe"),
    ("tril", "triu"), ("attn_pdrop", "resid_pdrop"), ("embd_pdrop", "resid_pdrop"), ("attn_dropout", "resid_dropout"),
    ("n_embd", "n_inner"), ("n_layer", "n_head"), ("n_positions", "vocab_size"), ("inputs", "targets"),
    ("weight", "bias"), ("zeros_", "ones_"), ("zeros", "ones"), ("mean", "sum"), ("max", "min"), ("amax", "amin"),
    ("argmax", "argmin"), ("sin", "cos"), ("train", "eval"), ("sqrt", "exp"), ("mask", "scores"), ("min_lr", "max_lr"),
    ("top_k", "top_p"), ("unsqueeze", "squeeze"), ("encode", "decode"),
]  # fmt: skip
ORDERED = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_CLOSE = 45  # characters of a piece of code in a sentence


def with_(node: ast.AST, **fields: Any) -> Any:
    """A node with other fields."""
    new = copy.copy(node)
    for field, value in fields.items():
        setattr(new, field, value)
    return new


def shown(node: ast.AST) -> str:
    """A piece of code as a sentence shows it."""
    return _cut(_in_a_line(node))


def in_place_of(part: ast.AST, whole: ast.AST) -> str:
    """What stands for the whole, or what goes where the whole is too long to be shown."""
    piece, code = _in_a_line(part), _in_a_line(whole)
    rest = code.removeprefix(piece) if code.startswith(piece) else code.removesuffix(piece)
    if rest == code or len(code) <= _CLOSE:
        return f"{_cut(piece)} in place of {_cut(code)}, {{at}}"
    return f"{_cut(rest.strip())} left out of {{code}}"


def _in_a_line(node: ast.AST) -> str:
    return " ".join(ast.unparse(node).split())


def _cut(code: str) -> str:
    return f"`{code}`" if len(code) <= _CLOSE else f"`{code[: _CLOSE - 4]} ...`"


def slips(node: ast.AST) -> Iterator[Slip]:
    """What the next key or a wrong word gives; these are the mutants of a reference, too."""
    match node:
        case ast.BinOp() | ast.AugAssign() | ast.BoolOp():
            yield from _operators(node)
        case ast.Compare():
            for i, op in enumerate(node.ops):
                if type(op) in _OPERATORS:
                    ops = [*node.ops[:i], _OPERATORS[type(op)](), *node.ops[i + 1 :]]
                    flips = not isinstance(op, ORDERED)
                    said = f"another comparison in {shown(node)}, {{at}}"
                    yield Slip(said, with_(node, ops=ops), flips)
        case ast.Constant():
            yield from _constants(node)
        case ast.UnaryOp():
            yield Slip(in_place_of(node.operand, node), node.operand)
        case ast.If() | ast.While() | ast.IfExp():
            opposite = ast.UnaryOp(ast.Not(), node.test)
            said = f"the opposite of {shown(node.test)}, {{at}}"
            yield Slip(said, with_(node, test=opposite), flips=True)
            if isinstance(node, ast.IfExp):
                for part in (node.body, node.orelse):
                    yield Slip(in_place_of(part, node), part)
        case ast.Call():
            yield from _calls(node)
        case ast.Slice():
            yield Slip(
                f"another beginning of the slice {shown(node)}, {{at}}", with_(node, lower=None)
            )
            yield Slip(f"another end of the slice {shown(node)}, {{at}}", with_(node, upper=None))
    if isinstance(node, ast.Assign | ast.AugAssign | ast.Expr | ast.Raise | ast.Return):
        yield Slip("{code}, left out", ast.Pass())
    yield from lookalikes(node, _LOOKALIKES)


def _operators(node: ast.BinOp | ast.AugAssign | ast.BoolOp) -> Iterator[Slip]:
    if type(node.op) in _OPERATORS:
        yield Slip(
            f"another operator in {shown(node)}, {{at}}",
            with_(node, op=_OPERATORS[type(node.op)]()),
        )
    if isinstance(node, ast.BinOp):
        yield Slip(in_place_of(node.left, node), node.left)
        yield Slip(in_place_of(node.right, node), node.right)


def _constants(node: ast.Constant) -> Iterator[Slip]:
    value = node.value
    if isinstance(value, bool):
        yield Slip(f"`{not value}` in place of `{value}` in {{code}}", ast.Constant(not value))
    elif isinstance(value, int | float):
        values = [value + 1, value - 1 if value != 1 else 2]
        for other in [*values, value * 1.1] if isinstance(value, float) else values:
            yield Slip(f"another number in place of `{value}` in {{code}}", ast.Constant(other))


def _calls(node: ast.Call) -> Iterator[Slip]:
    if node.args:
        yield Slip(f"{shown(node.args[0])} in place of {shown(node)}, {{at}}", node.args[0])
    if isinstance(node.func, ast.Attribute):
        yield Slip(in_place_of(node.func.value, node), node.func.value)
    if len(node.args) > 1:
        yield Slip(
            f"the arguments of {shown(node)} the other way round, {{at}}",
            with_(node, args=node.args[::-1]),
        )
        yield Slip(
            f"{shown(node)} without its last argument, {{at}}", with_(node, args=node.args[:-1])
        )
    for i, keyword in enumerate(node.keywords):
        rest = [*node.keywords[:i], *node.keywords[i + 1 :]]
        yield Slip(f"{shown(keyword)} left out of {{code}}", with_(node, keywords=rest))


def lookalikes(node: ast.AST, pairs: Sequence[tuple[str, str]]) -> Iterator[Slip]:
    """The node with the other name of each pair."""
    for a, b in pairs:
        for old, new in ((a, b), (b, a)):
            if isinstance(node, ast.Name) and node.id == old and isinstance(node.ctx, ast.Load):
                yield Slip(f"something else than `{old}` in {{code}}", with_(node, id=new))
            if isinstance(node, ast.Attribute) and node.attr == old:
                yield Slip(f"something else than `{old}` in {{code}}", with_(node, attr=new))
