"""A folder is replaced without a moment without it, and what replaces it is on disk before it counts."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from registry import files
from registry.files import building, replace_folder, write_atomic

_KILLED_AT_EACH_STEP = """
    import os, signal, sys
    from pathlib import Path
    from registry import files
    from registry.files import building

    def make(folder, text):
        with building(folder) as work:
            for name in ("a", "b"):
                (work / name).write_text(text)

    def child(folder, last):
        left = [last]
        def step(frame, event, _):
            if event == "line":
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return step if frame.f_code.co_filename == files.__file__ else None
        sys.settrace(step)
        make(folder, "new")
        os._exit(0)

    root, last = Path(sys.argv[1]), 0
    while True:
        folder = root / str(last) / "made"
        make(folder, "old")
        pid = os.fork()
        if pid == 0:
            child(folder, last)
        _, status = os.waitpid(pid, 0)
        texts = {(folder / name).read_text() for name in ("a", "b")}
        assert len(texts) == 1 and len(list(folder.iterdir())) == 2, (last, texts)
        if not os.WIFSIGNALED(status):
            assert texts == {"new"}
            break
        last += 1
    print(last)
"""


def test_a_process_that_is_killed_at_any_line_leaves_one_whole_folder(tmp_path: Path) -> None:
    code = textwrap.dedent(_KILLED_AT_EACH_STEP)
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30  # places at which it was killed


def test_a_reader_never_finds_the_folder_gone_while_it_is_replaced(tmp_path: Path) -> None:
    folder, over, missed = tmp_path / "made", threading.Event(), list[BaseException]()
    with building(folder) as work:
        (work / "manifest.json").write_text("0")

    def read() -> None:
        while not over.is_set():
            try:
                os.stat(folder / "manifest.json")  # noqa: PTH116 one call, no more
            except OSError as error:
                missed.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(100):
            with building(folder) as work:
                (work / "manifest.json").write_text(str(number))
    finally:
        over.set()
        reader.join()
    assert missed == []


def _recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is flushed and what is renamed, in order, by its name."""
    steps, flush, swap, replace = list[tuple[str, str]](), os.fsync, files._swap, Path.replace

    def fsync(handle: int) -> None:
        steps.append(("flushed", Path(f"/proc/self/fd/{handle}").readlink().name))
        flush(handle)

    def swapped(fresh: Path, folder: Path) -> None:
        steps.append(("renamed", folder.name))
        swap(fresh, folder)

    def replaced(self: Path, target: Path) -> Path:
        steps.append(("renamed", target.name))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(files, "_swap", swapped)
    monkeypatch.setattr(Path, "replace", replaced)
    return steps


def test_bytes_and_names_are_on_disk_before_a_folder_counts_and_its_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = _recorded(monkeypatch)
    fresh = tmp_path / "fresh"
    (fresh / "deep").mkdir(parents=True)
    for name in ("a", "deep/b"):
        (fresh / name).write_text(name)
    replace_folder(fresh, tmp_path / "made")
    at = steps.index(("renamed", "made"))
    assert {name for _, name in steps[:at]} == {"a", "b", "deep", "fresh"}
    assert steps[at + 1 :] == [("flushed", tmp_path.name)]


def test_a_file_is_on_disk_before_it_is_renamed_and_its_name_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = _recorded(monkeypatch)
    write_atomic(tmp_path / "state", b"1")
    assert [kind for kind, _ in steps] == ["flushed", "renamed", "flushed"]
    assert steps[-1] == ("flushed", tmp_path.name)


def test_many_files_are_flushed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = list[Path]()
    monkeypatch.setattr(files, "_flush_file_system", lambda folder: flushed.append(folder) or True)
    with building(tmp_path / "made") as work:
        for number in range(100):
            (work / str(number)).write_text("1")
    assert flushed == [work]


@pytest.mark.parametrize("exchanges", [True, False])
@pytest.mark.parametrize("kind", ["nothing", "folder", "file", "link"])
def test_whatever_lies_there_is_replaced_and_nothing_is_left_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, exchanges: bool
) -> None:
    if not exchanges:
        monkeypatch.setattr(files, "_exchange", lambda *_: False)
    folder, elsewhere = tmp_path / "made", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("1")
    makers = {"nothing": lambda: None, "folder": folder.mkdir, "file": lambda: folder.write_text("1")}
    (makers | {"link": lambda: folder.symlink_to(elsewhere)})[kind]()
    with building(folder) as work:
        (work / "a").write_text("new")
    assert (folder / "a").read_text() == "new"
    assert not folder.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "made"]
    assert (elsewhere / "precious").exists()


def test_a_swap_that_fails_puts_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_exchange", lambda *_: False)
    folder, rename = tmp_path / "made", Path.rename
    with building(folder) as work:
        (work / "a").write_text("old")

    def failing(self: Path, target: Path) -> Path:
        if self.name != "old" and target == folder:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="Input/output"), building(folder) as work:
        (work / "a").write_text("new")
    assert (folder / "a").read_text() == "old"
