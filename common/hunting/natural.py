"""Whether a planted text could have been written by whoever wrote the clean one."""

from __future__ import annotations

import ast
import builtins
import io
import tokenize
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

_KNOWN = {*dir(builtins), "__name__", "__file__"}


def without_unused_imports(text: str, clean: str) -> str:
    """The text without the names that only its clean version uses: a leftover import gives a bug away."""
    left_over = _unused_imports(text) - _unused_imports(clean)
    if not left_over:
        return text
    lines = text.splitlines()
    for node in ast.parse(text).body:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        kept = [a for a in node.names if (a.asname or a.name.split(".")[0]) not in left_over]
        if len(kept) == len(node.names):
            continue
        assert node.end_lineno is not None
        node.names = kept
        for number in range(node.lineno - 1, node.end_lineno):
            lines[number] = "\0"
        if kept:
            lines[node.lineno - 1] = ast.unparse(node)
    return "\n".join(line for line in lines if line != "\0") + "\n"


def gives_itself_away(text: str, clean: str) -> str:
    """What a linter or a quick eye would point at in a planted text that its clean version has not; or nothing."""
    known = _tells(clean)
    for what, seen in _tells(text).items():
        if new := seen - known[what]:
            return f"{what}: {sorted(new)[0]}"
    return ""


@cache
def _tells(text: str) -> dict[str, frozenset[str]]:
    return {what: frozenset(of(text)) for what, of in _TELLS.items()}


def _unused_imports(text: str) -> set[str]:
    tree = ast.parse(text)
    imported = {
        alias.asname or alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    return imported - _loaded(tree) - {"annotations"}


def _loaded(tree: ast.AST) -> set[str]:
    return {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store)
    }


def _stored(tree: ast.AST) -> set[str]:
    return {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _functions(text: str) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef))


def _unused_names(text: str) -> Iterator[str]:
    for function in _functions(text):
        shared = {
            name
            for node in ast.walk(function)
            if isinstance(node, ast.Global | ast.Nonlocal)
            for name in node.names
        }
        unused = _stored(function) - _loaded(function) - shared
        yield from (f"{function.name}: {name}" for name in unused if not name.startswith("_"))


def _unknown_names(text: str) -> Iterator[str]:
    tree = ast.parse(text)
    known = _KNOWN | _stored(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            known.add(node.name)
        elif isinstance(node, ast.arg):
            known.add(node.arg)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            known.update(alias.asname or alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            known.add(node.name)
    return (name for name in _loaded(tree) if name not in known)


def _empty_statements(text: str) -> Iterator[str]:
    return (
        "pass or a bare expression"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Pass)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Compare | ast.Name))
    )


def _comments(text: str) -> Iterator[str]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return (token.string for token in tokens if token.type == tokenize.COMMENT)


def _long_lines(text: str) -> Iterator[str]:
    return (line.strip() for line in text.splitlines() if len(line) > 100)


def _shared_defaults(text: str) -> Iterator[str]:
    for function in _functions(text):
        for default in [*function.args.defaults, *function.args.kw_defaults]:
            if isinstance(default, ast.List | ast.Dict | ast.Set | ast.Call):
                yield f"{function.name}: {ast.unparse(default)}"


def _returned_at_once(text: str) -> Iterator[str]:
    """`x = ...` and on the next line `return x`."""
    for function in _functions(text):
        for node in ast.walk(function):
            body = getattr(node, "body", None)
            if not isinstance(body, list):
                continue
            for one, other in pairwise(body):
                if isinstance(one, ast.Assign) and isinstance(other, ast.Return):
                    name = ast.unparse(one.targets[0])
                    if isinstance(other.value, ast.Name) and other.value.id == name:
                        yield f"{function.name}: {name}"


_TELLS = {
    "a name that is used nowhere": _unused_names,
    "a name that exists nowhere": _unknown_names,
    "a statement without effect": _empty_statements,
    "a comment": _comments,
    "a long line": _long_lines,
    "a default that is shared": _shared_defaults,
    "a value that is named and returned at once": _returned_at_once,
}
