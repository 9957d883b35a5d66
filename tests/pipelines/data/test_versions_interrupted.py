"""Writing a version: killed at any point, two at once, a disk without links: no number is given twice, nothing is lost."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from drawn_source import DrawnSource

from pipelines.data import catalog as catalog_module
from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet, open_dataset
from pipelines.job.jobfile import Split
from registry.errors import NotFoundError

FIRST = {f"{label}/{number}": number + (100 if label == "b" else 0) for label in "ab" for number in range(5)}
ADDED = FIRST | {"a/new": 50, "b/new": 51}
KILLED = """
import os, sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from drawn_source import DrawnSource
from pipelines.data.catalog import DatasetCatalog
from pipelines.job.jobfile import Split

CODE, LAST = {{"catalog.py", "kept.py", "build.py", "files.py", "lease.py"}}, int(sys.argv[1])
lines = 0


def trace(frame, event, _):
    global lines
    if Path(frame.f_code.co_filename).name not in CODE:
        return None
    lines += event == "line"
    if lines == LAST:
        os._exit(9)
    return trace


catalog = DatasetCatalog(Path({root!r}))
source = DrawnSource({clips!r})
sys.settrace(trace)
catalog.write(source, Split(), catalog.folder_of("hand"), lambda *_: None, model="hand")
sys.settrace(None)
print(lines)
"""


def quiet(*_: object) -> None:
    return


def make(catalog: DatasetCatalog, clips: dict[str, int], progress=quiet) -> DataSet:
    return catalog.write(DrawnSource(clips), Split(), catalog.folder_of("hand"), progress, model="hand")


def splits(data: DataSet) -> dict[str, str]:
    return {row.clip_sha256: row.split for row in data.manifest.frames}


def killed(root: Path, clips: dict[str, int], line: int) -> subprocess.CompletedProcess[str]:
    """`frames` in a process of its own that is gone at its n-th line, as by `kill -9`."""
    code = KILLED.format(tests=str(Path(__file__).parent), root=str(root), clips=clips)
    return subprocess.run([sys.executable, "-c", code, str(line)], capture_output=True, text=True, check=False)


def test_a_frames_that_is_killed_at_any_line_leaves_one_line_of_whole_versions(tmp_path: Path) -> None:
    whole = killed(tmp_path / "whole" / "datasets", ADDED, -1)
    total = int(whole.stdout)
    for number in range(8):
        catalog = DatasetCatalog(tmp_path / str(number) / "datasets")
        first = make(catalog, FIRST)
        # the last lines matter most: keeping, noting and putting it in its place
        line = total - number**3 * total // 8**3 if number else total - 1
        assert killed(catalog.root, ADDED, max(line, 1)).returncode in {0, 9}
        open_dataset(catalog.folder_of("hand")).verify()
        catalog.resolve("hand@1").verify()
        again = make(catalog, ADDED | {"b/later": 70})
        versions = catalog.versions("hand")
        assert [version.manifest.version for version in versions] == list(range(len(versions), 0, -1)), line
        assert [version.manifest.parent for version in versions] == [*(version.digest for version in versions[1:]), ""]
        assert splits(again).items() >= splits(first).items()
        for version in versions:
            catalog.resolve(version.name).verify()


@pytest.mark.parametrize("before", [{}, FIRST])
def test_a_version_that_was_kept_and_never_came_to_its_folder_is_opened_by_every_name(
    before: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between keeping and swapping in: `data list` calls it the current one, so it is what the folder stands for."""
    catalog, keep = DatasetCatalog(tmp_path / "datasets"), DatasetCatalog.add
    if before:
        make(catalog, before)

    def killed_after(*arguments: object, **named: object) -> DataSet:
        kept = keep(*arguments, **named)  # pyright: ignore[reportArgumentType]
        if kept.manifest.digest not in known:
            raise KeyboardInterrupt
        return kept

    known = {version.digest for version in catalog.versions("hand")}
    monkeypatch.setattr(DatasetCatalog, "add", killed_after)
    with pytest.raises(KeyboardInterrupt):
        make(catalog, ADDED)
    monkeypatch.undo()
    folder = catalog.folder_of("hand")
    assert folder.exists() == bool(before)
    newest = catalog.versions("hand")[0]
    assert newest.digest not in known
    for reference in (folder, "hand", newest.name):
        data = catalog.resolve(reference)
        data.verify()
        assert (data.manifest.digest, data.name, catalog.describe(reference).digest) == (newest.digest, "hand", newest.digest)
    if not before:
        folder.mkdir()
        assert catalog.resolve(folder).manifest.digest == newest.digest, "a folder that holds no data set"
    make(catalog, ADDED).verify()
    assert open_dataset(folder).manifest.digest == newest.digest


def test_a_version_that_went_elsewhere_leaves_the_folder_its_own(tmp_path: Path) -> None:
    catalog = DatasetCatalog(tmp_path / "datasets")
    first = make(catalog, FIRST)
    second = catalog.write(DrawnSource(ADDED), Split(), tmp_path / "out", quiet, model="hand")
    assert catalog.resolve(catalog.folder_of("hand")).manifest == first.manifest
    assert catalog.resolve("hand").manifest == second.manifest


def test_a_folder_without_a_data_set_that_is_called_as_a_model_is_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = DatasetCatalog(tmp_path / "home" / "datasets")
    first = make(catalog, FIRST)
    (tmp_path / "hand" / "a").mkdir(parents=True)
    (tmp_path / "foot").mkdir()
    monkeypatch.chdir(tmp_path)
    assert catalog.resolve("hand").manifest == catalog.resolve(Path("hand")).manifest == first.manifest
    for reference in ("foot", str(tmp_path / "hand")):
        with pytest.raises(NotFoundError):
            catalog.resolve(reference)
    other = catalog.write(DrawnSource(ADDED), Split(), tmp_path / "hand2", quiet)
    (tmp_path / "hand2").rename(tmp_path / "hand3")
    (tmp_path / "hand").rename(tmp_path / "raw")
    (tmp_path / "hand3").rename(tmp_path / "hand")
    assert catalog.resolve("hand").manifest == other.manifest, "a data set that lies here comes first"


def test_keeping_a_large_version_shows_its_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.data.kept._MANY", 10)
    heard = list[tuple[str, int, int]]()
    make(DatasetCatalog(tmp_path / "datasets"), FIRST, lambda *words: heard.append(words))
    assert heard[-1] == ("keeping the version", 20, 20)


def test_two_frames_at_once_are_two_versions_of_one_line(tmp_path: Path) -> None:
    catalog = DatasetCatalog(tmp_path / "datasets")
    make(catalog, FIRST)
    begun, waits, heard = threading.Event(), threading.Event(), list[str]()

    def slow(*_: object) -> None:
        begun.set()
        assert waits.wait(30)

    def waiting(what: str, *_: object) -> None:
        heard.append(what)
        waits.set()

    slower = threading.Thread(target=make, args=(catalog, FIRST | {"a/new": 50}, slow))
    slower.start()
    assert begun.wait(30)
    second = make(catalog, FIRST | {"b/new": 51}, waiting)
    slower.join()
    assert heard[0] == "waiting for another process that writes a data set"
    versions = catalog.versions("hand")
    assert [version.manifest.version for version in versions] == [3, 2, 1]
    assert versions[0].digest == second.manifest.digest
    assert "a/new" in {row.clip for row in versions[1].manifest.frames}


def test_two_models_that_are_made_of_the_same_clips_have_a_line_each(tmp_path: Path) -> None:
    catalog = DatasetCatalog(tmp_path / "datasets")
    make(catalog, FIRST)
    catalog.write(DrawnSource(FIRST), Split(), catalog.folder_of("foot"), quiet, model="foot")
    assert {version.name for version in catalog.versions()} == {"hand@1", "foot@1"}, "though they are the same clips"
    make(catalog, ADDED)
    assert [version.name for version in catalog.versions()] == ["foot@1", "hand@2", "hand@1"]
    assert catalog.resolve("foot@1").manifest == catalog.resolve("hand@1").manifest
    catalog.resolve(catalog.describe("foot@1").digest[:8]).verify()


def test_without_links_it_is_copies_and_the_rest_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", cannot)
    catalog = DatasetCatalog(tmp_path / "datasets")
    first = make(catalog, FIRST)
    second = make(catalog, ADDED)
    assert splits(second).items() >= splits(first).items()
    for name in ("hand@1", "hand@2"):
        catalog.resolve(name).verify()


def test_a_version_more_costs_the_disk_what_is_new_in_it(tmp_path: Path) -> None:
    catalog = DatasetCatalog(tmp_path / "datasets")
    make(catalog, FIRST)
    before = pictures(catalog.root)
    make(catalog, FIRST | {"a/new": 50})
    assert len(pictures(catalog.root) - before) == 2, "two frames of one new clip"


def pictures(root: Path) -> set[int]:
    """The files on disk, each once however many names it has."""
    return {path.stat().st_ino for path in root.rglob("*.png")}


def test_writing_leaves_no_hidden_file_or_folder(tmp_path: Path) -> None:
    """The lock is the folder itself."""
    catalog = DatasetCatalog(tmp_path / "datasets")
    make(catalog, FIRST)
    assert not list(catalog.root.rglob(".*"))
    assert len(catalog.digests()) == len(list(catalog.kept())) == 1
    assert catalog_module.DatasetCatalog(tmp_path / "nothing").versions() == []


def test_a_kept_data_set_that_is_used_again_keeps_the_name_that_it_had(tmp_path: Path) -> None:
    catalog = DatasetCatalog(tmp_path / "datasets")
    make(catalog, FIRST)
    make(catalog, ADDED)
    kept = catalog.add(catalog.resolve("hand@1"), registered="hand")
    assert (kept.name, catalog.owners(kept.manifest.digest)) == ("hand", ["hand"])
    assert catalog.find(kept.manifest.digest, "hand/1").name == "hand"
