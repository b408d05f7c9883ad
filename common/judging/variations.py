"""All versions of a source in which one small thing is different: mutants of a right file, mends of a wrong one."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from common.judging.further_slips import Near, further_slips, substitutions
from common.judging.slips import Slip, slips, with_

_TEXTS = 12  # of a file; more of them are data
_CLOSED = (
    ast.Name,
    ast.Attribute,
    ast.Call,
    ast.Slice,
    ast.Starred,
)  # need no brackets, or take none
_CONTAINERS = ("tuple", "list", "set", "frozenset", "dict", "iter")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(frozen=True)
class Variation:
    """A source with one change.

    Args:
        line: where the changed piece begins.
        said: what is different there; `{at}` stands for the line, `{code}` for the line and its text.
        within: the smallest statement around it.
        simple: it takes the next key or one other word. shorter: something is left out.
        flips: a condition has turned into its opposite.
    """

    line: int
    said: str
    source: str
    within: ast.stmt
    simple: bool = True
    shorter: bool = False
    flips: bool = False


class Source:
    """A source, its syntax tree, and what can be changed in it. The text around a change stays as it is."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = ast.parse(text)
        self.lines = text.encode().splitlines(keepends=True)
        walked = [*ast.walk(self.tree)]
        self.parents = {part: node for node in walked for part in ast.iter_child_nodes(node)}
        silent = {part for node in walked for part in _says_nothing(node)}
        self.nodes = [node for node in walked if node not in silent]

    def mutants(self) -> Iterator[Variation]:
        """What the next key or a wrong word gives."""
        return self._varied(slips)

    def mends(self, right: str) -> Iterator[Variation]:
        """Each different version once, the simplest first.

        Args:
            right: a source whose numbers may be meant.
        """
        seen = {self.text}
        numbers = _numbers(right)
        simple = self._varied(lambda node: (s for s in slips(node) if self._is_sensible(node, s)))
        further = [self._further(ways, numbers) for ways in (further_slips, substitutions)]
        for variation in chain(simple, *further):
            if variation.source not in seen:
                seen.add(variation.source)
                yield variation

    def _further(
        self, ways: Callable[[ast.AST, Near], Iterable[Slip]], numbers: tuple[float, ...]
    ) -> Iterator[Variation]:
        return self._varied(
            lambda node: () if self._is_at_home(node) else ways(node, self._near(node, numbers)),
            further=True,
        )

    def _is_sensible(self, node: ast.AST, slip: Slip) -> bool:
        """Whether a person could have meant it: no module for a value, number for a call, guard without its error.

        Nor is what only makes another container of its argument left out, or what makes a parameter of it.
        """
        match node, slip.new:
            case _, ast.Name(id=name):
                return name not in self._modules
            case ast.Call(func=ast.Name(id=name), args=[inside]), new if new is inside:
                return name not in _CONTAINERS
            case ast.Call(func=ast.Attribute(attr="Parameter"), args=[inside, *_]), new:
                return new is not inside
            case ast.Call(), ast.Constant() | ast.UnaryOp(operand=ast.Constant()):
                return False
            case ast.Raise(), ast.Pass():
                return False
        return True

    def _is_at_home(self, node: ast.AST) -> bool:
        """Whether a name is handed to an argument of that very name: no other one is meant there."""
        match node, self.parents.get(node):
            case ast.Name(id=name), ast.keyword(arg=argument):
                return name == argument
            case ast.Name(id=name), ast.Call(func=ast.Name(id=callee), args=args) if node in args:
                return name in self._arguments.get(callee, ())[args.index(node) :][:1]
        return False

    def _varied(
        self, ways: Callable[[ast.AST], Iterable[Slip]], *, further: bool = False
    ) -> Iterator[Variation]:
        for node in self.nodes:
            for slip in ways(node):
                try:
                    source = self._with(node, slip.new)
                except ValueError:  # an f-string that cannot be written
                    continue
                fewer = len(getattr(slip.new, "keywords", ())) < len(getattr(node, "keywords", ()))
                shorter = fewer or isinstance(slip.new, ast.Pass) or slip.new in ast.walk(node)
                yield Variation(
                    _begin(node)[0] + 1, slip.said, source, self._statement(node),
                    simple=not further or slip.apart, shorter=shorter, flips=slip.flips,
                )  # fmt: skip

    def _with(self, old: ast.AST, new: ast.AST) -> str:
        """The text with a node for another."""
        old, new = _smallest(old, new)
        ancestors = [*self._ancestors(old)]
        for string in reversed([a for a in ancestors if isinstance(a, ast.JoinedStr)]):
            # Before Python 3.12 nobody knows where in the text the parts of an f-string stand.
            for above in ancestors[: ancestors.index(string) + 1]:
                new, old = _with_part(above, old, new), above
            break
        line, column = _begin(old)
        if marks := getattr(old, "decorator_list", None):
            line, column = marks[0].lineno - 1, marks[0].col_offset - 1
        text = ast.unparse(ast.fix_missing_locations(new))
        if isinstance(new, ast.stmt):
            text = text.replace("\n", "\n" + " " * column)
        elif isinstance(new, ast.Tuple) and any(isinstance(e, ast.Slice) for e in new.elts):
            text = text[1:-1]
        elif isinstance(new, ast.expr) and not isinstance(new, _CLOSED):
            text = f"({text})"
        before = b"".join(self.lines[:line]) + self.lines[line][:column]
        line, column = _end(self._last(old, new))
        after = self.lines[line][column:] + b"".join(self.lines[line + 1 :])
        return (before + text.encode() + after).decode()

    def _last(self, old: ast.AST, new: ast.AST) -> ast.AST:
        """The node that ends what is replaced: the statement below, where the two change places."""
        follows = self._follows(old)
        return follows if follows and isinstance(new, ast.If) and follows in new.body else old

    def _ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        above = self.parents.get(node)
        while above is not None:
            yield above
            above = self.parents.get(above)

    def _statement(self, node: ast.AST) -> ast.stmt:
        return next(n for n in (node, *self._ancestors(node)) if isinstance(n, ast.stmt))

    def _follows(self, node: ast.AST) -> ast.stmt | None:
        """The statement below in the same block."""
        for _, block in ast.iter_fields(self.parents.get(node, node)):
            if isinstance(block, list) and node in block[:-1]:
                return block[block.index(node) + 1]
        return None

    def _near(self, node: ast.AST, numbers: tuple[float, ...]) -> Near:
        function = next((n for n in self._ancestors(node) if isinstance(n, _FUNCTIONS)), None)
        owner = ast.unparse(node.value) if isinstance(node, ast.Attribute) else ""
        return Near(
            self._names.get(function, ()),
            self._attributes.get(owner, ()),
            self._texts,
            numbers,
            self._follows(node) if isinstance(node, ast.stmt) else None,
        )

    @cached_property
    def _names(self) -> dict[ast.AST, tuple[str, ...]]:
        """The arguments and variables of each function."""
        found = {}
        for function in (n for n in self.nodes if isinstance(n, _FUNCTIONS)):
            inside = [*ast.walk(function)]
            names = [n.arg for n in inside if isinstance(n, ast.arg)]
            names += [
                n.id for n in inside if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            ]
            found[function] = tuple(dict.fromkeys(n for n in names if n != "self"))
        return found

    @cached_property
    def _arguments(self) -> dict[str, tuple[str, ...]]:
        """The arguments of each function and class of the file, by its name."""
        found = {}
        for function in (n for n in self.nodes if isinstance(n, ast.FunctionDef)):
            names = tuple(argument.arg for argument in function.args.args)
            owner = self.parents.get(function)
            if function.name == "__init__" and isinstance(owner, ast.ClassDef):
                found[owner.name] = names[1:]
            else:
                found[function.name] = names
        return found

    @cached_property
    def _modules(self) -> set[str]:
        return {
            (alias.asname or alias.name).partition(".")[0]
            for node in self.nodes
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }

    @cached_property
    def _attributes(self) -> dict[str, tuple[str, ...]]:
        """The attributes that are used of each object; modules have too many others."""
        found: dict[str, dict[str, None]] = {}
        for node in (n for n in self.nodes if isinstance(n, ast.Attribute)):
            owner = ast.unparse(node.value)
            if owner.partition(".")[0] not in self._modules and not owner.endswith(")"):
                found.setdefault(owner, {})[node.attr] = None
        return {owner: tuple(names) for owner, names in found.items()}

    @cached_property
    def _texts(self) -> tuple[str, ...]:
        values = (n.value for n in self.nodes if isinstance(n, ast.Constant))
        texts = [*dict.fromkeys(v for v in values if isinstance(v, str))]
        return tuple(texts) if len(texts) <= _TEXTS else ()


def _says_nothing(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a node that compute nothing: docstrings, annotations, where a part comes from, words of an error."""
    silent: list[ast.AST] = []
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Call(func=ast.Name(id="problem")):
            silent = [node]
        case ast.Raise():
            silent = [part for part in ast.walk(node) if isinstance(part, ast.JoinedStr)]
    for field in ("annotation", "returns"):
        if isinstance(note := getattr(node, field, None), ast.AST):
            silent.append(note)
    for part in silent:
        yield from ast.walk(part)


def _numbers(text: str) -> tuple[float, ...]:
    values = [n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant)]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    return tuple(dict.fromkeys(numbers))


def _begin(node: ast.AST) -> tuple[int, int]:
    """Line, from 0, and byte."""
    match node:
        case ast.AST(lineno=int(line), col_offset=int(column)):
            return line - 1, column
    raise AssertionError(node)


def _end(node: ast.AST) -> tuple[int, int]:
    match node:
        case ast.AST(end_lineno=int(line), end_col_offset=int(column)):
            return line - 1, column
    raise AssertionError(node)


def _smallest(old: ast.AST, new: ast.AST) -> tuple[ast.AST, ast.AST]:
    """The one expression in which two nodes differ; the nodes themselves if they differ in more."""
    while type(old) is type(new):
        fields = [f for f in old._fields if getattr(old, f, None) is not getattr(new, f, None)]
        parts = [(getattr(old, f), getattr(new, f)) for f in fields]
        if len(parts) != 1:
            break
        a, b = parts[0]
        if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
            differ = [(x, y) for x, y in zip(a, b, strict=True) if x is not y]
            if len(differ) != 1:
                break
            a, b = differ[0]
        if not (isinstance(a, ast.expr) and isinstance(b, ast.expr)):
            break
        old, new = a, b
    return old, new


def _with_part(node: ast.AST, old: ast.AST, new: ast.AST) -> ast.AST:
    """A node with another one for one of its parts."""
    for field, value in ast.iter_fields(node):
        if value is old:
            return with_(node, **{field: new})
        if isinstance(value, list) and old in value:
            return with_(node, **{field: [new if part is old else part for part in value]})
    raise AssertionError(field)
