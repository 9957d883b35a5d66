"""Scanning files for pickles: what Python would import is found, and what no `pickle.load` gets through is not."""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.cputime import cpu_seconds
from validation.scan import scan_folder

OPCODES = [op.code.encode("latin-1") for op in pickletools.opcodes]
RUNS = b"cos\nsystem\n(S'true'\ntR."
"""`os.system("true")` in protocol 0."""


class ReachedError(Exception):
    """An import, seen by C's machine."""


class Recording(pickle.Unpickler):
    """The machine that a victim has: it tells what the file imports, and imports nothing."""

    def find_class(self, module: str, name: str) -> None:
        raise ReachedError(module, name)


def imports(data: bytes) -> bool:
    """Whether C's `pickle.load` comes to an import in its first pickle."""
    try:
        Recording(io.BytesIO(data)).load()
    except ReachedError:
        return True
    except Exception:
        return False
    return False


def dangerous(folder: Path, data: bytes, name: str = "weights.bin") -> bool:
    (folder / name).write_bytes(data)
    return scan_folder(folder).dangerous == [name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@given(
    start=st.lists(st.one_of(st.sampled_from(OPCODES), st.binary(max_size=4)), max_size=5).map(b"".join),
    name=st.sampled_from(["weights.bin", "weights", "model.onnx", "model.pt"]),
    seed=st.integers(0, 2**32 - 1),
)
@example(start=b"\x93", name="weights.bin", seed=0)  # STACK_GLOBAL of an empty stack
@example(start=b"\x8e", name="weights.bin", seed=0)  # BINBYTES8 of more bytes than there is memory
def test_weights_are_dangerous_only_where_a_pickle_would_import(folder: Path, start: bytes, name: str, seed: int) -> None:
    """Weights begin with any bytes: one file in a hundred was refused for those that end picklescan's parser."""
    (folder / "scanned").mkdir(exist_ok=True)
    for path in (folder / "scanned").iterdir():
        path.unlink()
    data = start + np.random.default_rng(seed).normal(size=200).astype(np.float16).tobytes()
    assume(not data.startswith((b"PK\x03\x04", b"7z", b"\x93NUMPY")))  # a broken archive stays an issue
    # C's machine reserves memory for a large memo index, and breaks a byte array that ends early: it is not the one that scans.
    unsure = any(code in data for code in (pickle.LONG_BINPUT, pickle.PUT, pickle.BYTEARRAY8))
    harmless = not unsure and not imports(data)
    if dangerous(folder / "scanned", data, name):
        assert not harmless, data[:24]


@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"I0x1\n0",
        b"L0x1L\n0",
        b"N0",
        b"(0",
        b"I1\n.",
        b"\x80\x04",
        b"\x80\x05\x95\xff\x00\x00\x00\x00\x00\x00\x00",
        b"Vpid\n0",
    ],
)
@pytest.mark.parametrize("name", ["weights.bin", "model.onnx", "labels.txt", "model.pt"])
def test_what_runs_is_found_behind_what_ends_a_parser(tmp_path: Path, before: bytes, name: str) -> None:
    assert dangerous(tmp_path, before + RUNS, name)


@given(
    before=st.lists(
        st.sampled_from([b"I0x1\n0", b"L0b1L\n0", b"N0", b"F1.5\n0", b"](e0", b"}(u0", b"Vx\n0", b"K\x010"]), max_size=6
    )
)
def test_any_harmless_beginning_hides_nothing(folder: Path, before: list[bytes]) -> None:
    data = b"".join(before) + RUNS
    assert imports(data)  # the control: a victim would run it
    (folder / "behind").mkdir(exist_ok=True)
    assert dangerous(folder / "behind", data)


def test_a_file_that_takes_long_to_hash_is_scanned_at_once(tmp_path: Path) -> None:
    """A dict with a key of tuples within tuples, 64 deep: a machine that fills it never ends."""
    deep = b"(l0" + b")" + b"2\x86" * 64
    assert cpu_seconds(lambda: dangerous(tmp_path, b"\x80\x02}" + deep + b"Ns."), repeats=1) < 1


@pytest.mark.parametrize("data", [b"", b".", b"channels: 3\nsize: 64\n", b"\x08\x07\x12\x07pytorch"])
def test_ordinary_files_are_not_dangerous(tmp_path: Path, data: bytes) -> None:
    assert not dangerous(tmp_path, data)
