"""A package that is not installed is one line that names our extra, read from our own metadata."""

from __future__ import annotations

import importlib.metadata

import pytest

from pipelines.cli.main import main
from registry.errors import UnavailableError, missing_extra


@pytest.mark.parametrize(
    ("module", "remedy"),
    [
        ("torch", "run `pip install 'modelyard[torch]'`"),
        ("torchvision.ops", "run `pip install 'modelyard[torch]'`"),
        ("ultralytics", "run `pip install 'modelyard[yolo]'`"),
        ("streamlit", "run `pip install 'modelyard[dashboards]'`"),
        ("huggingface_hub", "run `pip install 'modelyard[huggingface]'`"),
        ("openvino", "run `pip install 'modelyard[openvino]'`"),
        ("psycopg", "run `pip install 'modelyard[postgresql]'`"),
        ("runpod", "run `pip install 'modelyard[runpod]'`"),
        ("keras", "run `pip install 'modelyard[tensorflow]'`"),
        ("numpy", "run `pip install --force-reinstall modelyard`"),
        ("nobody_s", "run `pip install nobody-s`"),
    ],
)
def test_the_extra_that_brings_least_is_named(module: str, remedy: str) -> None:
    error = missing_extra(module, "trainer")
    assert isinstance(error, UnavailableError)
    assert (error.subject, error.remedy, error.exit_code) == ("trainer", remedy, 2)


def test_every_extra_of_ours_is_named_by_a_package_that_it_brings() -> None:
    from registry.errors import _extras_by_package

    named = {extras[0] for extras in _extras_by_package().values()}
    extras = set(importlib.metadata.metadata("modelyard").get_all("Provides-Extra") or ())
    assert extras - named == {"all", "auth"}, "all brings others' packages; auth is an extra of MLflow's own"


def test_without_metadata_the_package_itself_is_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, "requires", unknown)
    assert missing_extra("torch", "x").remedy == "run `pip install torch`"


@pytest.mark.parametrize("name", ["torch", "pipelines.gone", "nobody_s"])
def test_a_command_says_it_of_our_extras_alone(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr("pipelines.cli.options.open_home", broken)
    monkeypatch.setattr("pipelines.cli.queries.read_home", broken)
    if name == "torch":
        with pytest.raises(SystemExit) as ended:
            main(["status"])
        assert ended.value.code == 2
        line = "modelyard: this command: torch is not installed; run `pip install 'modelyard[torch]'`\n"
        assert capsys.readouterr().err == line
    else:
        with pytest.raises(ModuleNotFoundError):
            main(["status"])
