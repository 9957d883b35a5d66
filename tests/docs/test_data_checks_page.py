"""The page of the data checks lists every check as the code has it, with how to silence it and why not to."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from pipelines.job.jobfile import parse_job
from validation.data.catalogue import CHECKS, LEVELS

PAGE = (Path(__file__).parents[2] / "docs" / "data-checks.md").read_text()


def test_every_check_is_listed_with_its_level_and_what_is_lost_without_it() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (strict|warn) \| (all|boxes) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
    kinds = {name: "boxes" if check.tasks == ("detect",) else "all" for name, check in CHECKS.items()}
    assert rows == [(name, check.level, kinds[name], check.asks, check.why) for name, check in CHECKS.items()]


def test_the_page_about_data_says_how_many_there_are() -> None:
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    assert f"{len(CHECKS)} named checks" in page


def test_every_level_is_explained_and_the_example_is_a_job_file() -> None:
    for level in LEVELS:
        assert f"`{level}`" in PAGE
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    job = parse_job(yaml.safe_load(example) | {"train": [{"kind": "torch"}]}, "page")
    assert job.data.check_levels.off == ["blur"]
    assert job.data.check_levels.lowered == ["clip-leak"]
