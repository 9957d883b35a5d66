"""What the code puts into a home, read from the code: every text that is joined to a home's path."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("registry", "pipelines", "dashboards")


def paths_in_homes() -> dict[str, str]:
    """The first part of each path below a home → the file whose code names it."""
    trees = {path: ast.parse(path.read_text()) for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))}
    constants = {name: text for tree in trees.values() for name, text in _constants(tree)}
    return {
        text: str(path.relative_to(ROOT))
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and _is_home(node.left)
        if (text := _text(node.right, constants))
    }


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield from ((target.id, node.value.value) for target in node.targets if isinstance(target, ast.Name))


def _is_home(node: ast.expr) -> bool:
    """`home`, `settings.home`, `self.home.settings.home`, `self.home.absolute()`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in {"absolute", "resolve"} and _is_home(node.func.value)
    return (isinstance(node, ast.Name) and node.id == "home") or (isinstance(node, ast.Attribute) and node.attr == "home")


def _text(node: ast.expr, constants: dict[str, str]) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return constants.get(node.id) if isinstance(node, ast.Name) else None
