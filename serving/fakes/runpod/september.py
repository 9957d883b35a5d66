"""What RunPod changed in its published document between August and September 2026: a merge patch, in our own words.

The patch is also a document of its own: it holds every path and schema that is new or changed, so that a double can be held
to those without the document of August, which is not ours to publish.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PATCH = Path(__file__).with_name("september.json")


def patch() -> dict[str, Any]:
    """The differences, as an OpenAPI document."""
    return json.loads(PATCH.read_text())


def merged(august: dict[str, Any]) -> dict[str, Any]:
    """The document of September: August's with the differences; the differences alone where August's is empty."""
    return _merge(august, patch())


def _merge(base: Any, changes: Any) -> Any:
    """RFC 7386: objects are merged, null removes, anything else replaces."""
    if not isinstance(changes, dict):
        return changes
    result = dict(base) if isinstance(base, dict) else {}
    for name, value in changes.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merge(result.get(name), value)
    return result
