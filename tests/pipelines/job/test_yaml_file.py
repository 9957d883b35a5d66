"""A key that is given twice is refused by its name and line; everything else reads as YAML says."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipelines.job.jobfile import read_job
from pipelines.job.template import TEMPLATE
from pipelines.job.yaml_file import read_yaml
from registry.errors import InputError, ModelyardError


def written(folder: Path, text: str) -> Path:
    (folder / "job.yaml").write_text(text)
    return folder / "job.yaml"


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("model: a\ntask: classify\nmodel: b\n", 3, "model"),
        ("gates:\n  staging: []\n  staging:\n    - {kind: metric}\n", 3, "staging"),
        ("train:\n  - {kind: yolo, epochs: 1, epochs: 9}\n", 2, "epochs"),
        ("a: &x {b: 1}\nc: {<<: *x, d: 1, d: 2}\n", 2, "d"),
        ("1: a\n1: b\n", 2, "1"),
        ('"model": a\nmodel: b\n', 2, "model"),
        ("a:\n  b:\n    c: 1\n    # far away\n\n    c: 1\n", 6, "c"),
    ],
)
def test_the_key_and_both_lines_are_named(tmp_path: Path, text: str, line: int, key: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_yaml(path, "fix it")
    assert str(caught.value).startswith(f"{path}: line {line}: key '{key}' is given twice; it is on line ")


def test_a_job_file_is_read_so(tmp_path: Path) -> None:
    path = written(tmp_path, TEMPLATE + "\nmodel: another\n")
    with pytest.raises(InputError, match="key 'model' is given twice"):
        read_job(path)


@pytest.mark.parametrize("text", ["a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}\n", "- {a: 1}\n- {a: 2}\n", "", "? [1, 2]\n: 3\n"])
def test_what_is_no_repetition_reads_as_before(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    try:
        expected = yaml.safe_load(text)
    except yaml.YAMLError:
        with pytest.raises(InputError, match="is not YAML"):
            read_yaml(path, "fix it")
    else:
        assert read_yaml(path, "fix it") == expected


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_whatever_yaml_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    assert read_yaml(written(tmp_path_factory.mktemp("y"), yaml.safe_dump(value)), "fix it") == value


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(), min_size=1, max_size=5), st.data())
def test_any_key_that_is_repeated_anywhere_is_refused(
    tmp_path_factory: pytest.TempPathFactory, keys: dict[str, int], data: st.DataObject
) -> None:
    lines = [f"'{key}': {value}" for key, value in keys.items()]
    lines.insert(data.draw(st.integers(0, len(lines))), f"'{data.draw(st.sampled_from(sorted(keys)))}': 0")
    depth = data.draw(st.integers(0, 3))
    text = "".join(f"{' ' * level}level:\n" for level in range(depth)) + "\n".join(" " * depth + line for line in lines)
    with pytest.raises(InputError, match="is given twice"):
        read_yaml(written(tmp_path_factory.mktemp("y"), text), "fix it")


@pytest.mark.parametrize(
    "data", [b"a: [", b"\xff\xfe\x00", b"[" * 20_000, b"a: !!python/object:os.system {}", b"a: 2026-99-99"]
)
def test_what_is_no_yaml_is_one_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "job.yaml").write_bytes(data)
    with pytest.raises(ModelyardError) as caught:
        read_job(tmp_path / "job.yaml")
    assert "\n" not in str(caught.value)
