"""What was found: pairs of pictures across splits, the shares that they make up, and the sentences about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from registry.records import Finding, Record

Kind = Literal["bytes", "near_duplicate", "scene", "clip", "group", "name_sequence", "capture_time"]
KINDS: tuple[Kind, ...] = ("bytes", "near_duplicate", "scene", "clip", "group", "name_sequence", "capture_time")
"""The surest first."""
HELD_OUT = ("val", "test")
_WORTH_SAYING = 3

_WORDS: Mapping[str, str] = {
    "bytes": "the same bytes",
    "near_duplicate": "the same picture, re-encoded, resized, mirrored or shifted",
    "scene": "the same scene (one camera position, one take)",
    "clip": "the same clip",
    "group": "the same group",
    "name_sequence": "one recording that is numbered through both splits",
    "capture_time": "taken within moments of each other",
}
_ALLOW = "`data.leaks: allow` accepts it, and it is recorded"
_COPIES: tuple[Kind, ...] = ("bytes", "near_duplicate")


class Leak(Record):
    """A held-out picture `file_b`, the picture `file_a` of an earlier split that gives it away, and the evidence.

    `value` is in the unit of the kind: grey levels for pictures, seconds for times, images in between for names, else 0.
    """

    kind: Kind
    split_a: str
    file_a: str
    split_b: str
    file_b: str
    value: float
    text: str


class LeakReport(Record):
    """Every leak of a data set. At most one pair of each kind stands for a held-out picture."""

    dataset: str
    images: dict[str, int]
    leaks: tuple[Leak, ...] = ()
    groups: Literal["known", "unknown"] = "known"
    plain: int = 0
    """Held-out pictures with too little in them to tell one scene from another."""
    single: int = 0
    """Held-out pictures that look like an earlier one, and are too few to be told from chance."""
    source: Literal["clips", "images"] = "images"
    again: str = "modelyard import DIR --resplit"
    """The command that deals such a data set again."""
    one_scene: str = ""
    """The classes, as a subject, whose held-out pictures nearly all show scenes of an earlier split."""
    alike_in_train: float | None = None
    """The share of a sample of training pictures that lie as near to another clip of train; None where groups are unknown."""

    def leaked(self, split: str = "test") -> set[str]:
        """The files of a split that are leaked."""
        return {leak.file_b for leak in self.leaks if leak.split_b == split}

    def share(self, split: str = "test") -> float:
        """The leaked share of a split; of an empty one it is 0."""
        return len(self.leaked(split)) / self.images[split] if self.images.get(split) else 0.0

    def of_kind(self, kind: Kind) -> list[Leak]:
        """The pairs of one kind."""
        return [leak for leak in self.leaks if leak.kind == kind]

    def pairs_of_clips(self, clips: Mapping[str, str]) -> list[tuple[str, str, str, int]]:
        """(kind, clip, clip, images) of the leaks, most images first; `clips` is each file's."""
        counts = Counter((leak.kind, clips[leak.file_a], clips[leak.file_b]) for leak in self.leaks)
        return [(*key, count) for key, count in counts.most_common()]

    def errors(self, *, allow: bool = False) -> list[Finding]:
        """One finding a kind, and none where nothing leaks. `allow`: the policy accepts them, and the text says so."""
        return [self._finding(kind, allow=allow) for kind in KINDS if self.of_kind(kind)]

    def warnings(self) -> list[Finding]:
        """What could not be told."""
        findings = list[Finding]()
        if self.groups == "unknown":
            text = (
                "groups are unknown: nothing says which pictures belong together (one person, one room, one day), so the split "
                "may have put some of them on both sides; name a pattern with --group, such as '^(s\\d+)_', or import clips"
            )
            findings.append(Finding(gate="data.groups", passed=False, text=text))
        if self.plain:
            text = (
                f"{self.plain} held-out {'image has' if self.plain == 1 else 'images have'} a background that is too plain to "
                "tell one scene from another: only copies are looked for"
            )
            findings.append(Finding(gate="data.leaks", passed=False, text=text, figure=self.plain))
        if self.single >= _WORTH_SAYING:
            text = (
                f"{self.single} held-out {'image looks' if self.single == 1 else 'images look'} like the scene or the "
                "recording of an earlier one, which are too few to be told from chance"
            )
            findings.append(Finding(gate="data.leaks", passed=False, text=text, figure=self.single))
        return findings

    def document(self) -> dict[str, Any]:
        """The report for machines: shares first."""
        shares = {split: round(self.share(split), 6) for split in HELD_OUT}
        leaked = {split: len(self.leaked(split)) for split in HELD_OUT}
        kinds = {kind: len(self.of_kind(kind)) for kind in KINDS if self.of_kind(kind)}
        rest = self.model_dump(mode="json", exclude={"leaks"})
        pairs = [leak.model_dump(mode="json") for leak in self.leaks]
        return {"leaks": len(pairs), "leaked": leaked, "leaked_share": shares, "kinds": kinds, **rest, "pairs": pairs}

    def _finding(self, kind: Kind, *, allow: bool) -> Finding:
        leaks = self.of_kind(kind)
        shares = " and ".join(
            f"{count / self.images[split]:.0%} of {split} ({count} of {self.images[split]} images)"
            for split in HELD_OUT
            if (count := len({leak.file_b for leak in leaks if leak.split_b == split}))
        )
        example = min(leaks, key=lambda leak: (leak.value, leak.file_b))
        verb = "is" if len(leaks) == 1 else "are"
        what = f"{shares} {verb} leaked by {_WORDS[kind]}, such as {example.file_b} and {example.file_a}: {example.text}"
        text = f"allowed by the policy: {what}" if allow else f"{what}; {self._remedy(kind)}; {_ALLOW}"
        return Finding(gate=f"data.leaks.{kind}", passed=False, text=text, figure=float(len(leaks)))

    def _remedy(self, kind: Kind) -> str:
        """What helps against this kind in such a data set."""
        if kind in _COPIES:
            return "remove the copies and make the data set again"
        film = "film more takes" if self.source == "clips" else "take more pictures"
        if kind == "scene" and self.one_scene:
            return f"{film} elsewhere: {self.one_scene} has one scene in all splits"
        if kind == "scene" and self.groups == "known":
            return f"{film} in other places, or deal again with `{self.again}`"
        return f"deal again: `{self.again}`"
