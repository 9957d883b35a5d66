"""Files are whole or not there, also when the disk is full or the process dies."""

import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from registry.digests import canonical, digest_of, manifest_of
from registry.errors import StorageError
from registry.files import building, write_atomic


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "made"
    with pytest.raises(RuntimeError), building(target) as work:
        (work / "half").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with building(target) as work:
        (work / "whole").write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_failed_rebuild_leaves_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "made"
    with building(target) as work:
        (work / "a").write_text("old")
    with pytest.raises(RuntimeError), building(target) as work:
        (work / "a").write_text("new")
        raise RuntimeError
    assert (target / "a").read_text() == "old"
    with building(target) as work:
        (work / "b").write_text("new")
    assert [path.name for path in target.iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_disk_that_takes_no_more_gives_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    """The kernel refuses the write for real: a file-size limit stands in for a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        with pytest.raises(StorageError, match="free some space"):
            write_atomic(tmp_path / "big", b"x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_atomic(target, b"old")
    code = f"""
        import os, signal
        from pathlib import Path
        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        from registry.files import write_atomic
        write_atomic(Path({str(target)!r}), b"new")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert target.read_bytes() == b"old"


def test_a_manifest_changes_with_any_byte_and_any_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = digest_of(manifest_of(tmp_path))
    (tmp_path / "a").write_text("2")
    second = digest_of(manifest_of(tmp_path))
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({first, second, digest_of(manifest_of(tmp_path))}) == 3


def test_canonical_json_refuses_nan() -> None:
    assert canonical({"b": 1, "a": [2]}) == b'{"a":[2],"b":1}'
    with pytest.raises(ValueError, match="Out of range"):
        canonical({"a": float("nan")})
