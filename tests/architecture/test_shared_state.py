"""Nothing that depends on a home or its credentials is kept beside the objects that belong to the home: two homes in one process."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.deployment.outages import Account
from pipelines.home import Home
from pipelines.promotion.assemble import assemble
from registry.errors import UnavailableError
from registry.lease import FileLeases
from registry.memory import MemoryLedger, MemoryStore
from registry.promotion.context import PromotionContext
from registry.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))
from import_graph import ROOT

CACHED = {"tls", "_set_timeout"}
"""What is read or set once in a process, and is the same for every home: the system's certificates, a library's time limit."""
CHANGING = {"append", "add", "update", "setdefault", "pop", "clear", "extend", "insert", "remove", "discard", "popitem"}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for room in ("registry", "validation", "serving", "pipelines"):
        for path in sorted((ROOT / room).rglob("*.py")):
            if "node_modules" not in path.parts:
                yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def shared_state(tree: ast.Module) -> set[str]:
    """Names of a module that its functions change: by `global`, by an item, or by a method that changes what it is called on."""
    names = {
        target.id
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign))
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))]
    return names & {name for function in functions for node in ast.walk(function) for name in _changed(node)}


def _changed(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Global):
        return set(node.names)
    if isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, (ast.Store, ast.Del)):
        return {node.value.id} if isinstance(node.value, ast.Name) else set()
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGING:
        return {node.func.value.id} if isinstance(node.func.value, ast.Name) else set()
    return set()


def test_no_module_keeps_what_its_functions_change() -> None:
    assert shared_state(ast.parse("_WELL = {}\ndef f():\n    _WELL['a'] = 1")) == {"_WELL"}
    assert shared_state(ast.parse("_SEEN = set()\ndef f():\n    _SEEN.add(1)")) == {"_SEEN"}
    assert {path: names for path, tree in modules() if (names := shared_state(tree))} == {}


def test_only_what_is_the_same_for_every_home_is_cached() -> None:
    cached = {
        node.name
        for _, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(mark).split("(")[0].endswith(("functools.cache", "lru_cache")) for mark in node.decorator_list)
    }
    assert cached == CACHED


def test_what_one_home_learns_of_an_account_or_an_endpoint_another_does_not(tmp_path: Path) -> None:
    homes = []
    for name in ("one", "two"):
        context = PromotionContext(MemoryStore(), MemoryLedger(), FileLeases(tmp_path / name))
        homes.append(assemble(Home(Settings(home=tmp_path / name)), print, context))
    first, second = homes
    with pytest.raises(UnavailableError), first.deployer.outages.asking(Account("runpod")):
        raise UnavailableError("RunPod", "does not answer", "try again later")
    assert len(first.retirer.outages.standing()) == 1, "shared within a home"
    assert second.retirer.outages.standing() == []
    with second.deployer.outages.asking(Account("runpod")):
        pass
    assert first.deployer.healthy_at is not second.deployer.healthy_at
    assert first.deployer.watch is not second.deployer.watch
