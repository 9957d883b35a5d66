"""Dealing clips to train, val and test: a clip goes to one split, whole, and stays there in every later version."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pipelines.data.dataset import SPLITS, Manifest, SplitName
from pipelines.data.source import Member
from pipelines.job.jobfile import Split
from registry.digests import sha256_bytes


@dataclass(frozen=True, slots=True)
class Assignments:
    """Where clips are already: by their names, and by their bytes where a clip has another name now."""

    by_clip: Mapping[str, SplitName] = field(default_factory=dict[str, SplitName])
    by_digest: Mapping[str, SplitName] = field(default_factory=dict[str, SplitName])

    def of(self, unit: Iterable[Member]) -> SplitName | None:
        """The split of members that belong together, if they have one.

        Bytes count before names: a name can be given to another clip, and what was trained on must not come to be tested on
        by it. Where they were in several splits, all go to the first of them, for the same reason.
        """
        members = list(unit)
        by_bytes: set[SplitName] = {split for member in members if (split := self.by_digest.get(member.digest))}
        by_name: set[SplitName] = {split for member in members if (split := self.by_clip.get(member.clip))}
        return next((name for name in SPLITS if name in (by_bytes or by_name)), None)


def assignments_of(manifests: Iterable[Manifest]) -> Assignments:
    """Where the clips of these data sets are; what an earlier one says counts before a later one."""
    by_clip, by_digest = dict[str, SplitName](), dict[str, SplitName]()
    for manifest in manifests:
        for row in manifest.frames:
            by_clip.setdefault(row.clip, row.split)
            by_digest.setdefault(row.clip_sha256, row.split)
    return Assignments(by_clip, by_digest)


def deal(members: Sequence[Member], split: Split, kept: Assignments | None = None) -> dict[str, SplitName]:
    """Clip → split. What has a split keeps it; the others are dealt so that the shares come as near as they can.

    Clips with the same bytes, whatever they are called, go to one split. Clips that hold the same classes are dealt
    together, so each class keeps its share in each split. The order within such a set comes from a hash of the clip's name
    and the seed, so a class or a clip that is added elsewhere moves nothing.
    """
    kept = kept or Assignments()
    dealt = dict[str, SplitName]()
    strata: dict[tuple[str, ...], list[tuple[str, list[Member]]]] = defaultdict(list)
    for unit in _units(members):
        labels = tuple(sorted(frozenset[str]().union(*(member.labels for member in unit))))
        strata[labels].append((min(member.clip for member in unit), unit))
    for units in strata.values():
        units.sort(key=lambda named: sha256_bytes(f"{split.seed} {named[0]}".encode(errors="surrogateescape")))
        dealt |= _deal_stratum([unit for _, unit in units], split, kept)
    return dealt


def _deal_stratum(units: Sequence[Sequence[Member]], split: Split, kept: Assignments) -> dict[str, SplitName]:
    """Clip → split for units that hold the same classes, in their order."""
    dealt, fresh, have = dict[str, SplitName](), list[Sequence[Member]](), Counter[SplitName]()
    for unit in units:
        known = kept.of(unit)
        if known is None:
            fresh.append(unit)
            continue
        have[known] += 1
        dealt.update({member.clip: known for member in unit})
    grown = bool(have)
    for unit in fresh:
        enough = grown and len(units) >= len(SPLITS)
        lacking: list[SplitName] = [name for name in reversed(SPLITS) if not have[name]] if enough else []
        chosen = lacking[0] if lacking else _most_wanted(have, len(units), split)
        have[chosen] += 1
        dealt.update({member.clip: chosen for member in unit})
    return dealt


def _most_wanted(have: Mapping[SplitName, int], count: int, split: Split) -> SplitName:
    """The split that has less than its share of so many clips."""
    if have["test"] < _share(count, split.test):
        return "test"
    return "val" if have["val"] < _share(count, split.val) else "train"


def _share(count: int, part: float) -> int:
    """How many of `count` clips a part takes: at least one where there are three to deal."""
    return max(round(count * part), 1 if count >= len(SPLITS) else 0)


def _units(members: Sequence[Member]) -> list[list[Member]]:
    """Members that share a name or their bytes, directly or through others, together."""
    parent = dict[str, str]()

    def root(key: str) -> str:
        while (above := parent.setdefault(key, key)) != key:
            parent[key] = parent[above]
            key = parent[key]
        return key

    for member in members:
        parent[root(f"clip {member.clip}")] = root(f"bytes {member.digest}")
    units: dict[str, list[Member]] = defaultdict(list)
    for member in members:
        units[root(f"clip {member.clip}")].append(member)
    return list(units.values())
