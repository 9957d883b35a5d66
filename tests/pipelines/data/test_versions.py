"""Versions on disk: a clip's bytes never change splits, numbers form one line, and whatever was made opens, whole."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from drawn_source import DrawnSource

from pipelines.data.build import Dealing, write_dataset
from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet, open_dataset
from pipelines.job.jobfile import Split
from registry.errors import InputError, IntegrityError, NotFoundError
from registry.files import read_json, write_json

FIRST = {f"{label}/{number}": number + (100 if label == "b" else 0) for label in "ab" for number in range(6)}


def quiet(*_: object) -> None:
    return


@pytest.fixture
def catalog(tmp_path: Path) -> DatasetCatalog:
    return DatasetCatalog(tmp_path / "home" / "datasets")


def make(
    catalog: DatasetCatalog, clips: Mapping[str, int], *, folder: Path | None = None, again: bool = False, seed: int = 0
) -> DataSet:
    """What `modelyard frames` does for the model `hand`."""
    where = folder or catalog.folder_of("hand")
    return catalog.write(DrawnSource(clips), Split(seed=seed), where, quiet, again=again, model="hand")


def splits(data: DataSet) -> dict[str, str]:
    """The bytes of a clip → its split."""
    return {row.clip_sha256: row.split for row in data.manifest.frames}


def named(data: DataSet) -> dict[str, str]:
    return {row.clip: row.split for row in data.manifest.frames}


class Workshop:
    """Somebody's clips, with which things happen."""

    def __init__(self) -> None:
        self.clips, self.gone, self.fresh = dict(FIRST), dict[str, int](), 1000

    def act(self, action: str, draw: int) -> None:
        self.fresh += 1
        self.draw, self.name = draw, sorted(self.clips)[draw % len(self.clips)]
        getattr(self, action, lambda: None)()

    def add(self) -> None:
        self.clips[f"{'ab'[self.draw % 2]}/new{self.fresh}"] = self.fresh

    def remove(self) -> None:
        self.gone[self.name] = self.clips.pop(self.name)

    def rename(self) -> None:
        self.clips[f"{self.name}x"] = self.clips.pop(self.name)

    def relabel(self) -> None:
        self.clips[f"{'b' if self.name[0] == 'a' else 'a'}/from{self.name[2:]}"] = self.clips.pop(self.name)

    def swap_names(self) -> None:
        other = sorted(self.clips)[(self.draw // 7) % len(self.clips)]
        self.clips[self.name], self.clips[other] = self.clips[other], self.clips[self.name]

    def change_bytes(self) -> None:
        self.clips[self.name] = self.fresh

    def bring_back(self) -> None:
        self.clips = self.gone | self.clips

    def copy(self) -> None:
        self.clips[f"{self.name[0]}/copy{self.fresh}"] = self.clips[self.name]


ACTIONS = [name for name in vars(Workshop) if name not in {"__init__", "act"} and not name.startswith("_")]
STEPS = st.lists(
    st.tuples(st.sampled_from([*ACTIONS, "elsewhere", "another seed"]), st.integers(0, 10**6)), min_size=1, max_size=7
)


@settings(max_examples=8)
@given(steps=STEPS)
def test_no_clip_changes_its_split_and_every_version_stays(
    steps: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("line")
    catalog, workshop = DatasetCatalog(root / "datasets"), Workshop()
    made = [make(catalog, workshop.clips)]
    seen = splits(made[0])
    for action, draw in steps:
        workshop.act(action, draw)
        folder = root / f"elsewhere{draw % 3}" if action == "elsewhere" else None
        with suppress(InputError):  # a class may be left without a clip in some split
            made.append(make(catalog, workshop.clips, folder=folder, seed=draw if action == "another seed" else 0))
        for digest, split in splits(made[-1]).items():
            assert seen.setdefault(digest, split) == split, action
    unique = {data.manifest.digest: data.manifest for data in made}
    versions = catalog.versions("hand")
    assert {version.digest for version in versions} == set(unique)
    assert [version.manifest.version for version in reversed(versions)] == list(range(1, len(unique) + 1))
    assert [version.manifest.parent for version in versions] == [version.digest for version in versions[1:]] + [""]
    for digest, manifest in unique.items():
        for reference in (f"hand@{manifest.version}", digest, digest[:12]):
            opened = catalog.resolve(reference)
            opened.verify()
            assert opened.manifest == manifest


def test_a_data_set_elsewhere_is_the_next_version_and_so_is_the_one_after_it(catalog: DatasetCatalog, tmp_path: Path) -> None:
    first = make(catalog, FIRST)
    second = make(catalog, FIRST | {"a/new": 50}, folder=tmp_path / "elsewhere")
    third = make(catalog, FIRST | {"a/new": 50, "b/new": 51})
    assert [data.manifest.version for data in (first, second, third)] == [1, 2, 3]
    assert third.manifest.parent == second.manifest.digest
    assert named(third).items() >= named(second).items() >= named(first).items()


def test_a_clip_that_takes_the_name_of_another_keeps_the_split_of_its_bytes(catalog: DatasetCatalog) -> None:
    first = make(catalog, FIRST)
    test_clip = next(name for name, split in named(first).items() if split == "test" and name.startswith("a"))
    other = next(name for name, split in named(first).items() if split == "train" and name.startswith("a"))
    second = make(catalog, FIRST | {test_clip: FIRST[other], other: FIRST[test_clip]})
    assert splits(second) == splits(first)


def test_the_folder_of_another_model_is_not_written_to(catalog: DatasetCatalog) -> None:
    theirs = catalog.write(DrawnSource(FIRST), Split(), catalog.folder_of("foot"), quiet, model="foot")
    with pytest.raises(InputError, match="the data set of model 'foot' lies"):
        make(catalog, FIRST | {"a/new": 50}, folder=catalog.folder_of("foot"))
    assert open_dataset(catalog.folder_of("foot")).manifest == theirs.manifest


def test_a_deal_that_is_asked_for_moves_clips_and_the_next_one_keeps_them(catalog: DatasetCatalog) -> None:
    first = make(catalog, FIRST)
    again = make(catalog, FIRST, again=True, seed=3)
    assert splits(again) != splits(first)
    later = make(catalog, FIRST | {"a/new": 60})
    assert splits(later).items() >= splits(again).items()


@pytest.mark.parametrize("damage", ["gone", "cut", "not a manifest", "the whole folder"])
def test_a_damaged_manifest_loses_no_split(catalog: DatasetCatalog, damage: str) -> None:
    make(catalog, FIRST)
    second = make(catalog, FIRST | {"a/new": 50}, seed=1)
    folder = catalog.folder_of("hand")
    manifest = folder / "manifest.json"
    manifest.unlink()  # in place, it would be damaged where it is kept as well
    if damage == "cut":
        manifest.write_text('{"labels": [')
    elif damage == "not a manifest":
        write_json(manifest, {"labels": 3})
    elif damage == "the whole folder":
        shutil.rmtree(folder)
    warning = catalog.lineage(folder, "hand").warning
    assert ("keep the splits of hand@2" in warning) == (damage != "the whole folder")
    third = make(catalog, FIRST | {"a/new": 50, "b/new": 51}, seed=9)
    assert (third.manifest.version, third.manifest.parent) == (3, second.manifest.digest)
    assert splits(third).items() >= splits(second).items()
    open_dataset(folder).verify()
    assert damage != "gone" or folder.with_name("hand.damaged").is_dir(), "what was there is set aside, not removed"


def test_a_damaged_note_loses_no_split(catalog: DatasetCatalog) -> None:
    first = make(catalog, FIRST)
    lost = next(name for name, split in named(first).items() if split == "train" and name.startswith("a"))
    second = make(catalog, {name: number for name, number in FIRST.items() if name != lost})
    for data in (first, second):
        catalog.note(data.manifest.digest).write_text("{")
    third = make(catalog, FIRST, seed=9)
    assert (third.manifest.version, third.manifest.parent) == (3, second.manifest.digest)
    assert splits(third) == splits(first)


def test_where_nothing_is_kept_it_is_said_that_all_is_dealt_again(catalog: DatasetCatalog) -> None:
    make(catalog, FIRST)
    shutil.rmtree(catalog.by_digest)
    (catalog.folder_of("hand") / "manifest.json").write_text("{")
    assert "dealt to splits anew" in catalog.lineage(catalog.folder_of("hand"), "hand").warning
    assert make(catalog, FIRST).manifest.version == 1


def test_a_home_of_an_older_release_has_version_one_and_its_clips_keep_their_splits(catalog: DatasetCatalog) -> None:
    folder = catalog.folder_of("hand")
    old = write_dataset(DrawnSource(FIRST), folder, Dealing(Split(seed=5)), quiet)
    assert "version" not in read_json(folder / "manifest.json")
    assert [version.name for version in catalog.versions("hand")] == ["hand@1"]
    second = make(catalog, FIRST | {"a/new": 50})
    assert (second.manifest.version, second.manifest.parent) == (2, old.manifest.digest)
    assert splits(second).items() >= splits(old).items()
    catalog.resolve("hand@1").verify()


def test_another_home_knows_nothing_and_deals_by_itself(catalog: DatasetCatalog, tmp_path: Path) -> None:
    make(catalog, FIRST)
    make(catalog, FIRST | {f"a/new{number}": 50 + number for number in range(9)})
    other = DatasetCatalog(tmp_path / "other" / "datasets")
    assert make(other, FIRST).manifest.version == 1


def test_a_class_without_a_clip_in_a_split_is_told_what_helps(catalog: DatasetCatalog) -> None:
    first = make(catalog, FIRST)
    tests = [name for name, split in named(first).items() if split == "test" and name.startswith("a")]
    fewer = {name: number for name, number in FIRST.items() if name not in tests}
    with pytest.raises(InputError, match=r"class 'a' has no clip left for 'test': its \d keep .*--resplit"):
        make(catalog, fewer)
    assert open_dataset(catalog.folder_of("hand")).manifest == first.manifest
    more = make(catalog, fewer | {"a/new": 50})
    assert named(more)["a/new"] == "test", "the next clip goes where one is missing"
    assert set(named(make(catalog, fewer, again=True)).values()) == {"train", "val", "test"}


@settings(max_examples=30)
@given(st.lists(st.integers(1, 4), min_size=8, max_size=20))
def test_shares_come_near_the_wanted_ones_however_a_data_set_grows(grown: list[int]) -> None:
    from pipelines.data.dataset import Manifest
    from pipelines.data.source import Member
    from pipelines.data.split import assignments_of, deal

    members, before = list[Member](), list[Manifest]()
    for number, more in enumerate([6, *grown]):
        members += [Member(f"a/{number}-{clip}", f"{number}-{clip}", frozenset("a")) for clip in range(more)]
        dealt = deal(members, Split(), assignments_of(before))
        rows = [
            {"file": "f", "sha256": "s", "clip": m.clip, "clip_sha256": m.digest, "label": "a", "split": dealt[m.clip]}
            | {"width": 1, "height": 1}
            for m in members
        ]
        before.insert(0, Manifest.model_validate({"labels": ["a"], "source": "clips", "split": {}, "frames": rows}))
    counts = {split: list(dealt.values()).count(split) / len(dealt) for split in ("val", "test")}
    assert all(abs(share - 0.2) <= 1.5 / len(dealt) for share in counts.values()), counts


def test_frames_that_two_versions_share_are_one_file_and_read_only(catalog: DatasetCatalog) -> None:
    first = make(catalog, FIRST)
    second = make(catalog, FIRST | {"a/new": 50})
    kept = [catalog.resolve(f"hand@{number}") for number in (1, 2)]
    both = {row.sha256: row.file for row in first.manifest.frames}
    for row in second.manifest.frames:
        if row.sha256 in both:
            assert (kept[1].folder / row.file).samefile(kept[0].folder / both[row.sha256])
        assert (kept[1].folder / row.file).stat().st_mode & 0o222 == 0


def test_a_version_that_was_damaged_is_named_and_made_whole_by_the_next_frames(catalog: DatasetCatalog) -> None:
    make(catalog, FIRST)
    data = catalog.resolve("hand@1")
    (data.folder / data.manifest.frames[0].file).chmod(0o644)
    (data.folder / data.manifest.frames[0].file).write_bytes(b"another")
    with pytest.raises(IntegrityError, match=rf"version 1, digest {data.manifest.digest[:12]}"):
        catalog.resolve("hand@1").verify()
    assert make(catalog, FIRST).manifest == data.manifest
    catalog.resolve("hand@1").verify()
    open_dataset(catalog.folder_of("hand")).verify()


def test_pictures_that_are_removed_leave_the_manifest_and_its_splits(catalog: DatasetCatalog) -> None:
    first = make(catalog, FIRST)
    lost = next(name for name, split in named(first).items() if split == "train" and name.startswith("a"))
    second = make(catalog, {name: number for name, number in FIRST.items() if name != lost})
    digest = first.manifest.digest
    assert catalog.remove(digest, lambda: True, lambda: shutil.rmtree(catalog.folder(digest)))
    assert [(version.name, version.folder is None) for version in catalog.versions("hand")] == [
        ("hand@2", False),
        ("hand@1", True),
    ]
    with pytest.raises(NotFoundError, match="hand@1: its pictures were removed"):
        catalog.resolve("hand@1")
    third = make(catalog, FIRST, seed=8)
    assert third.manifest.parent == second.manifest.digest
    assert named(third)[lost] == "train"


@pytest.mark.parametrize("reference", ["hand@7", "hand@production", "foot", "abcdef", "missing/folder", "", "@1", "hand@"])
def test_a_reference_that_names_nothing_is_one_line(catalog: DatasetCatalog, reference: str) -> None:
    make(catalog, FIRST)
    with pytest.raises(NotFoundError):
        catalog.resolve(reference)
