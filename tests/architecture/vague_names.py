"""Names that say nothing of what they name."""

from __future__ import annotations

import ast

VAGUE = {"told", "found", "one", "said", "place"}


def vague_names(code: str) -> list[str]:
    """The functions that bind one of the vague names: by assignment, as a parameter, in a loop or a comprehension."""
    tree = ast.parse(code)
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    named = [f"{node.name}:{node.lineno}" for node in functions if _bound(node) & VAGUE]
    return named + ([f"module:{code.count(chr(10))}"] if _bound_at_top(tree) & VAGUE else [])


def _bound(function: ast.AST) -> set[str]:
    """What a function binds itself; functions within it are counted by themselves, lambdas and comprehensions are its own."""
    names = set[str]()
    inner = [
        node
        for node in ast.walk(function)
        if node is not function and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    theirs = {id(node) for other in inner for node in ast.walk(other)}
    for node in ast.walk(function):
        if id(node) in theirs:
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
    return names


def _bound_at_top(tree: ast.Module) -> set[str]:
    """What a file binds outside of its functions."""
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    within = {id(node) for function in functions for node in ast.walk(function)}
    nodes = [node for node in ast.walk(tree) if id(node) not in within]
    stored = [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    fields = {id(node.target) for node in nodes if isinstance(node, ast.AnnAssign)}  # of records: they are persisted
    kept = {node.id for node in nodes if isinstance(node, ast.Name) and id(node) in fields}
    return set(stored) - kept
