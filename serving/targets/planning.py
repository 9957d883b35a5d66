"""What a deployment would change at its target, as Terraform's plan reads: created, changed, deleted, published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast

from registry.records import Record
from serving.targets.contract import LiveEndpoint

Action = Literal["create", "change", "keep", "delete", "publish"]
_VERBS = {"create": "will be created", "change": "will be changed", "keep": "stays as it is", "delete": "will be deleted"}
SIGNS: dict[Action, str] = {"create": "+", "change": "~", "keep": " ", "delete": "-", "publish": "^"}


class Setting(Record):
    """One setting, before and after; None where it was or will be absent."""

    name: str
    before: str | None = None
    after: str | None = None

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.name} = {self.after}"
        return f"{self.name} = {self.before} -> {self.after if self.after is not None else 'none'}"


class Change(Record):
    """One thing that would be made, altered or removed. `note` says what the sign alone does not."""

    action: Action
    subject: str
    settings: tuple[Setting, ...] = ()
    note: str = ""

    @property
    def lines(self) -> list[str]:
        """For people: a line, and one for each setting."""
        verb = _VERBS.get(self.action)
        what = f"{self.subject} {verb}" if verb else f"{self.action} {self.subject}"
        head = f"{SIGNS[self.action]} {what}{f' ({self.note})' if self.note else ''}"
        return [head, *(f"    {setting}" for setting in self.settings)]


def settings_of(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> tuple[Setting, ...]:
    """The settings that differ; all of them where there was nothing before. Nested ones are named with dots."""
    old, new = dict(_flat(before or {})), dict(_flat(after))
    names = dict.fromkeys((*new, *(old if before else ())))
    return tuple(
        Setting(name=name, before=old.get(name), after=new.get(name)) for name in names if old.get(name) != new.get(name)
    )


def endpoint_change(
    name: str, live: LiveEndpoint | None, wanted: Mapping[str, Any], current: Mapping[str, Any] | None
) -> Change:
    """An endpoint as it is and as it is wanted. What is `current` is None where only its bundle is known."""
    if live is None:
        return Change(action="create", subject=name, settings=settings_of(None, wanted))
    known = current if current is not None else {key: wanted.get(key) for key in wanted if key not in {"version", "bundle"}}
    before = dict(known) | {"version": f"{live.model}/{live.version}", "bundle": live.bundle[:12]}
    changed = settings_of(before, dict(wanted))
    return Change(action="change" if changed else "keep", subject=name, settings=changed)


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted name → text; what is empty is as good as absent."""
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flat(cast("Mapping[str, Any]", inner), f"{prefix}{name}.")
        elif inner not in (None, "", [], ()):
            yield f"{prefix}{name}", _text(inner)


def _text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, cast("list[object]", value)))
    if isinstance(value, Mapping):
        return " ".join(f"{key} {_text(inner)}" for key, inner in cast("Mapping[str, object]", value).items())
    return str(value)
