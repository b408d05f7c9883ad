"""What a file defines, and around which lines."""

from __future__ import annotations

import ast

Definition = ast.FunctionDef | ast.ClassDef


def definitions(source: str | bytes) -> dict[str, Definition]:
    """The functions and classes at the top of a file; of several of one name the last, which counts."""
    return {node.name: node for node in ast.parse(source).body if isinstance(node, Definition)}


def around(tree: ast.Module, line: int) -> list[Definition]:
    """The definitions that hold a line, the outermost first; a comment after a body still belongs to it."""
    found: list[Definition] = []
    body = tree.body
    while True:
        starts = [n for n in body if isinstance(n, ast.stmt) and n.lineno <= line]
        last = starts[-1] if starts else None
        if not isinstance(last, Definition):
            return found
        found.append(last)
        body = last.body


def name_at(tree: ast.Module, line: int) -> str:
    """Their names with dots between; empty outside of all of them."""
    return ".".join(node.name for node in around(tree, line))
