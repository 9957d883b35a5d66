"""What is other in one job than in another, in words: `metric top1 at_least 0.90 → 0.70`, `gate parity removed`.

Both jobs are documents, as the ledger keeps them. What costs or decides comes first: gates, exports, deployments, the budget
and who may set the policy; then everything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from registry.errors import shorten
from registry.stages import ALIASES

Document = Mapping[str, Any]

_FIRST = ("gates", "export", "deploy", "budget", "policy")
_NAMING = ("name", "label", "slice", "quantize")
"""Fields that tell apart what is of one kind: two metrics, two exports."""

_BENIGN = ("smoke_images", "canary", "start_seconds", "request_seconds", "flashboot")
"""Fields of a deployment that choose neither an account, nor what is paid for, nor who can read what is published."""


def differences(old: Document, new: Document) -> list[str]:
    """A sentence for each difference; none where both jobs say the same."""
    gates = [line for stage in ALIASES for line in _gates(stage.value, _at(old, "gates", stage), _at(new, "gates", stage))]
    unproven = _fields("gates", _only(old.get("gates"), "unproven"), _only(new.get("gates"), "unproven"))
    exports = _listed("export", "export", old.get("export"), new.get("export"))
    deploys = [line for stage in ALIASES for line in deploy_differences(old, new, stage.value)]
    rest = [name for name in dict.fromkeys((*_FIRST[3:], *old, *new)) if name not in _FIRST[:3]]
    others = [line for name in rest for line in _value(name, old.get(name), new.get(name))]
    return [*gates, *unproven, *exports, *deploys, *others]


def deploy_differences(old: Document, new: Document, stage: str) -> list[str]:
    """What is other about the deployment of a stage."""
    before, after = _at(old, "deploy", stage), _at(new, "deploy", stage)
    if not before or not after or before.get("kind") != after.get("kind"):
        kinds = [str(config.get("kind")) if config else "none" for config in (before, after)]
        return [] if kinds[0] == kinds[1] else [f"deploy.{stage} {kinds[0]} → {kinds[1]}"]
    return _fields(f"deploy.{stage} {after['kind']}", before, after)


def export_differences(old: Document, new: Document) -> list[str]:
    """What is other about the exports."""
    return _listed("export", "export", old.get("export"), new.get("export"))


def target_changes(old: Document, new: Document) -> dict[str, list[str]]:
    """Kind → the changes by which something is deployed elsewhere, for other readers, or on what is paid for otherwise.

    A stage that is served no longer, and one that is served on this machine for the first time, cost nothing.
    """
    changes: dict[str, list[str]] = {}
    for stage in ALIASES:
        before, after = _costly(_at(old, "deploy", stage)), _costly(_at(new, "deploy", stage))
        lines = deploy_differences({"deploy": {stage: before}}, {"deploy": {stage: after}}, stage.value) if after else []
        if after and lines and (before or after.get("kind") != "local"):
            changes.setdefault(str(after["kind"]), []).extend(lines)
    return changes


def _costly(config: Document | None) -> Document | None:
    """A deployment without what costs nothing; of this machine, its kind alone."""
    if not config:
        return None
    if config.get("kind") == "local":
        return {"kind": "local"}
    return {name: value for name, value in config.items() if name not in _BENIGN}


def _at(document: Document, part: str, stage: str) -> Any:
    return (document.get(part) or {}).get(str(stage))


def _only(document: Document | None, name: str) -> Document:
    return {name: (document or {}).get(name)}


def _gates(stage: str, old: Sequence[Document] | None, new: Sequence[Document] | None) -> list[str]:
    return [f"{stage}: {line}" for line in _listed("gate", "", old, new)]


def _listed(noun: str, prefix: str, old: Sequence[Document] | None, new: Sequence[Document] | None) -> list[str]:
    """Differences of two lists of records that are told apart by their kind and name, not by their order."""
    before, after = _by_label(old or ()), _by_label(new or ())
    lines: list[str] = []
    for label in dict.fromkeys((*before, *after)):
        if label not in after:
            lines.append(f"{noun} {label} removed")
        elif label not in before:
            settings = [f"{name} {_text(value)}" for name, value in after[label].items() if name not in ("kind", *_NAMING)]
            lines.append(f"{noun} {label} added" + (f" ({shorten(', '.join(settings), 160)})" if settings else ""))
        else:
            lines += _fields(f"{prefix} {label}".strip(), before[label], after[label])
    return lines


def _by_label(records: Iterable[Document]) -> dict[str, Document]:
    """Label → record; a second one of the same label is numbered."""
    labelled: dict[str, Document] = {}
    for record in records:
        label = " ".join(str(record[name]) for name in ("kind", *_NAMING) if record.get(name))
        same = sum(known == label or known.startswith(f"{label} #") for known in labelled)
        labelled[f"{label} #{same + 1}" if same else label] = record
    return labelled


def _fields(label: str, old: Document, new: Document) -> list[str]:
    return [line for name in dict.fromkeys((*old, *new)) for line in _value(f"{label} {name}", old.get(name), new.get(name))]


def _value(label: str, old: object, new: object) -> list[str]:
    """The difference of two values; of two records, of each of their fields."""
    if old == new:
        return []
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        before, after = cast("Document", old), cast("Document", new)
        return [
            line
            for key in dict.fromkeys((*before, *after))
            for line in _value(f"{label}.{key}", before.get(key), after.get(key))
        ]
    if isinstance(old, list) and isinstance(new, list) and _are_records(old) and _are_records(new):
        return _listed(label, label, cast("list[Document]", old), cast("list[Document]", new))
    return [f"{label} {_text(old)} → {_text(new)}"]


def _are_records(values: object) -> bool:
    return all(isinstance(value, Mapping) and "kind" in value for value in cast("list[object]", values))


def _text(value: object) -> str:
    """A value as people write it: two places of a fraction at least, no braces."""
    if value is None or value in ([], {}, ()):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}" if value % 1 and round(value, 2) == value else f"{value:g}"
    if isinstance(value, Mapping):
        record = cast("Document", value)
        return shorten(", ".join(f"{key} {_text(inner)}" for key, inner in record.items()), 160)
    if isinstance(value, (list, tuple)):
        return shorten(", ".join(map(_text, cast("Sequence[object]", value))), 160)
    return shorten(value, 80)
