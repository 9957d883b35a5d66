"""A registered program is looked through before torch opens it: nothing in it runs."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from registry.errors import IntegrityError
from serving.export.program import load_program
from validation.scan import scan_folder


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real program."""
    path = tmp_path_factory.mktemp("program") / "model.pt2"
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3)).eval()
    torch.export.save(torch.export.export(network, (torch.zeros(2, 3, 2, 2),)), path)
    return path


def changed(program: Path, target: Path, change: Callable[[str, bytes], bytes], extra: dict[str, bytes] | None = None) -> Path:
    with zipfile.ZipFile(program) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
        for name, data in (extra or {}).items():
            new.writestr(name, data)
    return target


class Nasty:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple:
        return (eval, (f"open({str(self.file)!r}, 'w').close()",))


def hidden(file: Path) -> bytes:
    """A torch file whose pickle writes a file when it is opened."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Nasty(file)))
        archive.writestr("archive/version", "3")
    return held.getvalue()


def test_a_program_of_ours_is_loaded(program: Path) -> None:
    assert load_program(program).module()(torch.zeros(2, 3, 2, 2)).shape == (2, 3)


def test_a_pickle_within_is_refused_before_it_runs_and_the_scanner_sees_it(program: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    (tmp_path / "bad").mkdir()
    bad = changed(program, tmp_path / "bad" / "model.pt2", lambda name, data: hidden(trap) if name.endswith(".pt") else data)
    with pytest.raises(IntegrityError, match="holds something other than a graph and weights"):
        load_program(bad)
    assert not trap.exists()
    assert scan_folder(bad.parent).dangerous == ["model.pt2"]
    shutil.copy2(program, bad)
    assert scan_folder(bad.parent).dangerous == []  # the control: a whole one is not


def test_parts_that_no_graph_needs_are_refused(program: Path, tmp_path: Path) -> None:
    bad = changed(program, tmp_path / "a.pt2", lambda _, data: data, {"model/data/constants/custom_obj_0": b"x"})
    with pytest.raises(IntegrityError, match="holds model/data/constants/custom_obj_0, which is not plain data"):
        load_program(bad)


def test_pickled_weights_and_strange_expressions_are_refused(program: Path, tmp_path: Path) -> None:
    def pickled(name: str, data: bytes) -> bytes:
        if not name.endswith("weights_config.json"):
            return data
        return data.replace(b'"use_pickle": false', b'"use_pickle": true').replace(b'"use_pickle":false', b'"use_pickle":true')

    with pytest.raises(IntegrityError, match="a pickle, which is not plain data"):
        load_program(changed(program, tmp_path / "b.pt2", pickled))

    def strange(name: str, data: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return data
        return json.dumps(json.loads(data) | {"more": {"expr_str": "__import__('os').getcwd()"}}).encode()

    with pytest.raises(IntegrityError, match="the expression"):
        load_program(changed(program, tmp_path / "c.pt2", strange))


def test_what_is_no_archive_is_refused(program: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.pt2"
    shutil.copy2(program, cut)
    cut.write_bytes(cut.read_bytes()[:500])
    with pytest.raises(IntegrityError, match=r"cut\.pt2: holds something other"):
        load_program(cut)
