"""YAML as people write it: a key that is given twice is a mistake, of which YAML's own reader keeps the last in silence."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from registry.errors import InputError
from registry.files import read_bytes


def read_yaml(path: Path, remedy: str) -> Any:
    """What a YAML file says. Raises MissingFileError, DamagedFileError, or InputError naming the line that is wrong."""
    data = read_bytes(path, remedy)
    try:
        return yaml.load(data.decode(), _Loader)  # noqa: S506 it is a safe loader
    except _TwiceError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise InputError(f"{path}: line {line}", str(error.problem), "keep one of them") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InputError(path, f"is not YAML ({error})", remedy) from error


class _TwiceError(yaml.constructor.ConstructorError):
    """A key is given twice."""


class _Loader(yaml.SafeLoader):
    """Refuses a mapping with a key that it has already. One that `<<` brings in may be given again: that is what it is for."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 theirs
        """A mapping, as the loader below makes it."""
        first = dict[Hashable, int]()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            name = self.construct_object(key, deep=True)
            if isinstance(name, Hashable) and name in first:
                problem = f"key '{name}' is given twice; it is on line {first[name]} already"
                raise _TwiceError(None, None, problem, key.start_mark)
            if isinstance(name, Hashable):
                first[name] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)
