"""A child process ends: by itself, by its bounds, or with what runs beside it; and it says why in one line."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Timer

import psutil
import pytest

from registry.errors import InputError, StorageError, UnavailableError
from serving.export.subprocess_job import Bounds, Ties, ToolError, run_subprocess

READ = "import json, sys; job = json.loads(open(sys.argv[1]).read())\n"


def script(tmp_path: Path, text: str) -> list[str | Path]:
    path = tmp_path / "child.py"
    path.write_text(text)
    return [sys.executable, path]


def test_a_child_that_fails_leaves_its_last_words(tmp_path: Path) -> None:
    lines: list[str] = []
    command = script(tmp_path, "import sys; print('working', flush=True); sys.exit('no such operator: HardSwish')")
    with pytest.raises(ToolError, match="no such operator: HardSwish") as caught:
        run_subprocess(command, {}, "converter", ties=Ties(lines.append))
    assert lines == ["working"]
    assert caught.value.exit_code == 2


def test_what_a_child_reports_as_a_problem_is_ours_to_raise(tmp_path: Path) -> None:
    text = READ + "open(job['report'], 'w').write(json.dumps({'problem': ['TF.js', 'has no operation Erf', 'leave it out']}))"
    with pytest.raises(InputError, match=r"TF\.js: has no operation Erf; leave it out"):
        run_subprocess(script(tmp_path, text), {}, "converter")


def test_a_child_that_hangs_is_killed_with_all_it_started(tmp_path: Path) -> None:
    text = "import subprocess, sys\nsubprocess.Popen(['sleep', '97531'])\nimport time; time.sleep(600)"
    began = time.monotonic()
    with pytest.raises(ToolError, match=r"took longer than 1\.5 s.*raise MODELYARD_CONVERTER_SECONDS") as caught:
        run_subprocess(script(tmp_path, text), {}, "converter", bounds=Bounds(seconds=1.5))
    assert "_GB" not in str(caught.value), "more memory does not make it faster"
    assert time.monotonic() - began < 20
    time.sleep(0.2)
    assert not [process for process in psutil.process_iter(["cmdline"]) if "97531" in (process.info["cmdline"] or [])]


def test_a_child_that_takes_too_much_memory_is_killed(tmp_path: Path) -> None:
    text = "import time\nheld = bytearray(400_000_000)\nheld[::4096] = b'x' * len(held[::4096])\ntime.sleep(600)"
    with pytest.raises(ToolError, match=r"used more than 0\.2 GB of memory.*raise MODELYARD_CONVERTER_GB") as caught:
        run_subprocess(script(tmp_path, text), {}, "converter", bounds=Bounds(gigabytes=0.2))
    assert "SECONDS" not in str(caught.value)
    assert "fewer" not in str(caught.value), "variants are made one after the other, so fewer take as much"


def test_a_child_that_somebody_kills_is_one_line(tmp_path: Path) -> None:
    text = "import os, signal, time\ntime.sleep(0.3)\nos.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(ToolError, match=r"converter: was killed"):
        run_subprocess(script(tmp_path, text), {}, "converter")


def test_a_child_is_ended_when_something_beside_it_failed(tmp_path: Path) -> None:
    ties = Ties()
    Timer(0.5, ties.stop.set).start()
    with pytest.raises(ToolError, match="something beside it failed") as caught:
        run_subprocess(script(tmp_path, "import time; time.sleep(600)"), {}, "converter", ties=ties)
    assert "MODELYARD_CONVERTER" not in str(caught.value), "no limit of its own was the reason"


@pytest.mark.parametrize("code", ["ENOSPC", "EFBIG", "EDQUOT"])
def test_a_full_disk_in_a_child_is_a_full_disk_here(tmp_path: Path, code: str) -> None:
    text = f"import errno, os\nraise OSError(errno.{code}, os.strerror(errno.{code}))"
    with pytest.raises(StorageError, match="could not write its files"):
        run_subprocess(script(tmp_path, text), {}, "converter")


def test_lines_reach_a_child_that_waits_for_them(tmp_path: Path) -> None:
    lines: list[str] = []
    ties = Ties(lines.append)
    for line in ("one", "two", None):
        ties.feed.put(line)
    text = READ + "for line in sys.stdin: print('got', line.strip(), flush=True)\nopen(job['report'], 'w').write('{}')"
    run_subprocess(script(tmp_path, text), {}, "converter", ties=ties)
    assert lines == ["got one", "got two"]


def test_a_child_that_cannot_start_is_one_line() -> None:
    with pytest.raises(UnavailableError, match="cannot be started"):
        run_subprocess(["/no/such/python"], {}, "TensorFlow")


def test_what_a_child_leaves_behind_does_not_keep_us_waiting(tmp_path: Path) -> None:
    text = READ + "import subprocess; subprocess.Popen(['sleep', '30'])\nopen(job['report'], 'w').write('{}')"
    began = time.monotonic()
    assert run_subprocess(script(tmp_path, text), {}, "converter") == {}
    assert time.monotonic() - began < 10


def test_a_report_that_was_not_finished_is_no_report(tmp_path: Path) -> None:
    text = READ + "open(job['report'], 'w').write('{\"problem')\nsys.exit('disk trouble')"
    with pytest.raises(ToolError, match="disk trouble"):
        run_subprocess(script(tmp_path, text), {}, "converter")


def test_the_time_of_a_child_that_waits_counts_from_its_first_line(tmp_path: Path) -> None:
    ties = Ties(waits=True)
    Timer(1.5, lambda: [ties.feed.put(line) for line in ("go", None)]).start()
    text = READ + "sys.stdin.readline()\nopen(job['report'], 'w').write('{}')"
    run_subprocess(script(tmp_path, text), {}, "converter", bounds=Bounds(seconds=1.0), ties=ties)


def test_the_line_that_says_what_went_wrong_is_preferred_to_noise_after_it(tmp_path: Path) -> None:
    noise = "E0000 port.cc:1] Error in PredictCost() for the op\n"
    text = f"import atexit, os\natexit.register(os.write, 2, {noise!r}.encode())\nraise ValueError('no operator Det')"
    with pytest.raises(ToolError, match=r"exited with 1: ValueError: no operator Det;"):
        run_subprocess(script(tmp_path, text), {}, "converter")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux' kernel ends a child with its parent")
def test_a_child_does_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    command = script(tmp_path, "import time; time.sleep(86420)")
    parent = f"from serving.export.subprocess_job import run_subprocess\nrun_subprocess({[str(word) for word in command]!r}, {{}}, 'converter')"
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=Path(__file__).parents[3])
    deadline = time.monotonic() + 20
    while not (children := _running(tmp_path)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, left = psutil.wait_procs(children, timeout=5)
    for child in left:
        child.kill()
    assert not left


def _running(folder: Path) -> list[psutil.Process]:
    """The processes that run this test's child, as itself."""
    processes = [
        process for process in psutil.process_iter(["cmdline"]) if str(folder / "child.py") in (process.info["cmdline"] or [])
    ]
    return [process for process in processes if "-I" not in process.info["cmdline"]]
