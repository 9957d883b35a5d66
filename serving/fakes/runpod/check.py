"""Whether RunPod would accept a body, and answer as we do: by its published documents, and always by our own words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from serving.fakes.runpod.schemas import SCHEMAS
from serving.fakes.runpod.september import merged

_MOST_CHARACTERS = 200


class Checker:
    """Finds what is wrong with requests, and with our own answers.

    RunPod's own document of August comes from `spec`, where it is there; what changed until September is beside this file.
    """

    def __init__(self, spec: Path | None = None) -> None:
        """With the OpenAPI document at `spec`, everything is checked against it, too."""
        self.document: dict[str, Any] = merged(json.loads(spec.read_text()) if spec else {})
        self._validators: dict[str, Any] = {}

    def request(self, schema: str, body: Any) -> list[str]:
        """Problems of a body, a line each."""
        if not isinstance(body, dict):
            return ["$: value must be an object"]
        return self._problems(f"own {schema}", SCHEMAS[schema], body) or self.by_document(schema, body)

    def by_document(self, schema: str, value: Any) -> list[str]:
        """Problems of a value by the published documents, as far as they are here."""
        components = self.document["components"]
        if schema not in components["schemas"]:
            return []
        return self._problems(schema, {"$ref": f"#/components/schemas/{schema}", "components": components}, value)

    def _problems(self, name: str, schema: dict[str, Any], value: Any) -> list[str]:
        if name not in self._validators:
            from jsonschema import Draft202012Validator

            self._validators[name] = Draft202012Validator(schema)
        errors = self._validators[name].iter_errors(value)
        return [".".join(["$", *map(str, error.absolute_path)]) + f": {error.message[:_MOST_CHARACTERS]}" for error in errors]
