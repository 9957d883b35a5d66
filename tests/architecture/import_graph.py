"""The import graph of our files: every import counts, those inside functions and for annotations too."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("registry", "validation", "serving", "pipelines", "dashboards")


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Dotted name → file."""
    paths = [path for room in ROOMS for path in (root / room).rglob("*.py") if "node_modules" not in path.parts]
    return {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def import_graph(root: Path = ROOT) -> dict[str, set[str]]:
    """File → the files that it imports."""
    known = modules(root)
    return {name: _imported(ast.parse(path.read_text()), known) - {name} for name, path in known.items()}


def _imported(tree: ast.AST, known: dict[str, Path]) -> set[str]:
    names = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return {name for name in names if name in known}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of files that import each other, by Tarjan's algorithm: each with more than one member."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in graph.get(name, ()):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                groups.append(sorted(group))

    for name in graph:
        if name not in index:
            visit(name)
    return groups
