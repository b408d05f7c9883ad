"""How sharp are the checks? Change a reference in small ways and see what goes unnoticed.

A survivor is either killed by a new check or listed in tests/equivalent_mutants.toml with the reason why no
check could tell it from the reference.
"""

from __future__ import annotations

import ast
import copy
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

from common.course.catalogue import Problem
from common.judging import loading
from common.judging.collecting import checks_of
from common.judging.limited import limited
from common.judging.records import Status

SECONDS = 10  # a mutant that takes longer loops without end

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


def mutants(source: str) -> Iterator[tuple[str, str]]:
    """Yield (what was changed, mutated source), one change each."""
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    # Docstrings do nothing, `problem(4)` is where a part comes from, not what it computes, and the words of
    # an error are the author's own.
    docs = {
        id(part)
        for n in nodes
        if (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))
        or (isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "problem")
        for part in ast.walk(n)
    }
    docs |= {
        id(part)
        for n in nodes
        if isinstance(n, ast.Raise)
        for text in ast.walk(n)
        if isinstance(text, ast.JoinedStr)
        for part in ast.walk(text)
    }
    annotations = {
        id(part)
        for n in nodes
        for field in ("annotation", "returns")
        if isinstance(note := getattr(n, field, None), ast.AST)
        for part in ast.walk(note)
    }
    for index, node in enumerate(nodes):
        if id(node) in docs or id(node) in annotations:
            continue
        for change in _changes(node):
            twin = copy.deepcopy(tree)
            target = list(ast.walk(twin))[index]
            before = ast.unparse(_statement(twin, target)).splitlines()[0]
            change(twin, target)
            ast.fix_missing_locations(twin)
            try:
                mutated = ast.unparse(twin)
                after = _changed_line(ast.unparse(tree), mutated)
            except (ValueError, AttributeError):
                continue
            if mutated != ast.unparse(tree):
                yield f"{before.strip()}  ->  {after.strip()}", mutated


def _changes(node: ast.AST):
    """The ways to change this one node, as functions of the copied tree and the node's copy."""
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in _OPERATORS:
        yield lambda _, n: setattr(n, "op", _OPERATORS[type(n.op)]())
    if isinstance(node, ast.BinOp):
        yield lambda t, n: _replace(t, n, n.left)
        yield lambda t, n: _replace(t, n, n.right)
    if isinstance(node, ast.Compare):
        for i, op in enumerate(node.ops):
            if type(op) in _OPERATORS:
                yield lambda _, n, i=i: n.ops.__setitem__(i, _OPERATORS[type(n.ops[i])]())
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield lambda _, n: setattr(n, "value", not n.value)
        elif isinstance(node.value, int | float):
            yield lambda _, n: setattr(n, "value", n.value + 1)
            yield lambda _, n: setattr(n, "value", n.value - 1 if n.value != 1 else 2)
            if isinstance(node.value, float):
                yield lambda _, n: setattr(n, "value", n.value * 1.1)
    if isinstance(node, ast.UnaryOp):
        yield lambda t, n: _replace(t, n, n.operand)
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        yield lambda _, n: setattr(n, "test", ast.UnaryOp(ast.Not(), n.test))
    if isinstance(node, ast.IfExp):
        yield lambda t, n: _replace(t, n, n.body)
        yield lambda t, n: _replace(t, n, n.orelse)
    if isinstance(node, ast.Call):
        if node.args:
            yield lambda t, n: _replace(t, n, n.args[0])
        if isinstance(node.func, ast.Attribute):
            yield lambda t, n: _replace(t, n, n.func.value)
        if len(node.args) > 1:
            yield lambda _, n: n.args.reverse()
            yield lambda _, n: n.args.pop()
        for i in range(len(node.keywords)):
            yield lambda _, n, i=i: n.keywords.pop(i)
    if isinstance(node, ast.Assign | ast.AugAssign | ast.Expr | ast.Raise | ast.Return):
        yield lambda t, n: _replace(t, n, ast.Pass())
    for a, b in _LOOKALIKES:
        for old, new in ((a, b), (b, a)):
            if isinstance(node, ast.Name) and node.id == old and isinstance(node.ctx, ast.Load):
                yield lambda _, n, new=new: setattr(n, "id", new)
            if isinstance(node, ast.Attribute) and node.attr == old:
                yield lambda _, n, new=new: setattr(n, "attr", new)
    if isinstance(node, ast.Slice):
        yield lambda _, n: setattr(n, "lower", None)
        yield lambda _, n: setattr(n, "upper", None)


def _replace(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, field, new)
            elif isinstance(value, list) and any(part is old for part in value):
                value[next(i for i, part in enumerate(value) if part is old)] = new


def _statement(tree: ast.AST, node: ast.AST) -> ast.AST:
    """The smallest statement that holds the node."""
    best = tree
    for candidate in ast.walk(tree):
        if isinstance(candidate, ast.stmt) and any(part is node for part in ast.walk(candidate)):
            best = candidate
    return best


def _changed_line(before: str, after: str) -> str:
    for old, new in zip(before.splitlines(), after.splitlines(), strict=False):
        if old != new:
            return new
    return "(shorter)"


@dataclass(frozen=True)
class Score:
    """What came of all mutants of a problem."""

    problem: Problem
    total: int
    survivors: tuple[str, ...]
    explained: dict[str, str]  # why no check can tell it, by mutant

    @property
    def unexplained(self) -> list[str]:
        return [label for label in self.survivors if label not in self.explained]

    @property
    def outdated(self) -> list[str]:
        """Explained, but no such mutant survives."""
        return [label for label in self.explained if label not in self.survivors]

    @property
    def line(self) -> str:
        equivalent = len(self.survivors) - len(self.unexplained)
        killed = self.total - len(self.survivors)
        return (
            f"{self.problem.name:<34} {self.total:>4} mutants, {killed:>4} killed, "
            f"{equivalent:>3} equivalent, {len(self.unexplained):>3} survive"
        )


def score(problem: Problem) -> Score:
    """Run all mutants of a problem's reference through its checks."""
    found = [*mutants(problem.reference_text)]
    alive = [label for label, source in found if survives(problem, source)]
    return Score(problem, len(found), tuple(alive), _explained(problem))


def _explained(problem: Problem) -> dict[str, str]:
    file = problem.root / "tests" / "equivalent_mutants.toml"
    if not file.is_file():
        return {}
    entries = tomllib.loads(file.read_text(encoding="utf-8")).get(problem.name, [])
    return {entry["mutant"]: entry["because"] for entry in entries}


def survives(problem: Problem, source: str) -> bool:
    """Whether every check passes on this source. One that runs without end does not: a learner would notice."""
    try:
        with limited(SECONDS):
            module = loading.execute(source, problem.reference)
            return all(check.run(module).status == Status.PASSED for check in checks_of(problem))
    except (TimeoutError, loading.LoadFailure, NotImplementedError):
        return False
