"""What a promotion will publish, and to whom, is said before anything is decided."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.job.jobfile import parse_job
from pipelines.promotion.policy import say_uploads
from registry.stages import Stage

RUNPOD = {"kind": "runpod", "image": "you/image:1"}
SPACE = {"kind": "huggingface", "repository": "me/hand", "space": "me/page"}


@pytest.mark.parametrize(
    ("deploy", "lines"),
    [
        ({"kind": "local"}, []),
        (RUNPOD | {"bundles": "https://x"}, []),
        (RUNPOD | {"bundles": "hf:me/b"}, ["its bundle will be published to me/b at Hugging Face, private"]),
        (
            RUNPOD | {"bundles": "hf:me/b", "public": True},
            ["its bundle will be published to me/b at Hugging Face, public: everybody can read it"],
        ),
        (
            SPACE | {"private": False},
            [
                "its bundle will be published to me/hand at Hugging Face, public: everybody can read it",
                "its page will be published to the Space me/page, public: everybody can read it",
            ],
        ),
    ],
)
def test_where_to_and_who_can_read_it(deploy: dict[str, Any], lines: list[str]) -> None:
    job = parse_job({"model": "hand", "train": [{"kind": "torch"}], "deploy": {"production": deploy}}, "job")
    heard = list[str]()
    say_uploads(job, Stage.PRODUCTION, heard.append)
    assert heard == [f"production of hand: {line}" for line in lines]
    say_uploads(job, Stage.STAGING, heard.append)
    say_uploads(None, Stage.PRODUCTION, heard.append)
    assert len(heard) == len(lines)
