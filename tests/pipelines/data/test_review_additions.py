"""Pictures and boxes that a review adds: each picture with a split of its own, and they stay when the data set is built again."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from reviewing import apply, by_digest, choose, current, review_of
from shapes import build, draw, draw_takes, quiet

from pipelines.data.dataset import Box
from pipelines.data.labels.propose import Asked, propose_new
from registry.errors import InputError
from registry.files import write_json
from registry.reports.reviews import Candidate, ProposedBox


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return draw_takes(tmp_path / "images", takes=6, pictures=2)


@pytest.fixture
def home(images: Path, tmp_path: Path) -> Path:
    build(tmp_path / "home", images)
    return tmp_path / "home"


def test_new_pictures_join_with_a_split_of_their_own_and_stay(home: Path, images: Path, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox" / "phone"
    inbox.mkdir(parents=True)
    for number in range(6):
        draw("disc", 70 + number, 0).save(inbox / f"IMG_{number}.png")
    (inbox / "broken.png").write_bytes(b"no picture")
    shutil.copy(next((images / "disc").iterdir()), inbox / "known.png")
    before = by_digest(current(home))
    review = review_of(home)
    sure = Asked(lambda _: {"label": "disc", "probability": 0.97}, "hand/3", 0.5)
    proposals = propose_new(current(home), review, tmp_path / "inbox", sure, quiet)
    assert proposals.skipped == {"in the data set already": 1, "not a picture that can be read": 1}
    assert by_digest(current(home)) == before, "a proposal is no member"
    review.suggest("proposal", proposals.candidates)
    shutil.rmtree(tmp_path / "inbox")
    accepted = [item.sha256 for item in proposals.candidates[:5]]
    choose(home, accept=accepted, reject=[proposals.candidates[5].sha256])
    assert dict(apply(home).counts) == {"added": 5}
    after = current(home)
    after.verify()
    rows = by_digest(after)
    assert {digest: rows[digest] for digest in before} == before
    assert {rows[digest].label for digest in accepted} == {"disc"}
    assert {rows[digest].source for digest in accepted} <= {f"phone/IMG_{number}.png" for number in range(6)}
    assert (len(rows), after.manifest.groups) == (len(before) + 5, "unknown")
    assert build(home, images).manifest == after.manifest, "and building again keeps them"


def test_pictures_added_to_a_split_that_was_given_are_dealt(home: Path, tmp_path: Path) -> None:
    data = current(home)
    given_split = data.manifest.model_copy(update={"split_from": "source"})
    write_json(data.folder / "manifest.json", given_split.document())
    draw("bar", 99, 0).save((tmp_path / "one").with_suffix(".png"))
    (tmp_path / "in").mkdir()
    shutil.move(tmp_path / "one.png", tmp_path / "in")
    asked = Asked(lambda _: {"label": "bar", "probability": 1.0}, "hand/3", 0.5)
    proposals = propose_new(current(home), review_of(home), tmp_path / "in", asked, quiet)
    review_of(home).suggest("proposal", proposals.candidates)
    before = by_digest(current(home))
    choose(home, accept=[proposals.candidates[0].sha256])
    apply(home)
    after = by_digest(current(home))
    assert {digest: after[digest] for digest in before} == before
    assert current(home).manifest.split_from == "source"


def test_boxes_are_accepted_as_boxes(home: Path) -> None:
    data = current(home)
    rows = [
        row.model_copy(update={"label": "", "boxes": (Box(label=row.label, left=0, top=0, right=1, bottom=1),)})
        for row in data.manifest.frames
    ]
    write_json(data.folder / "manifest.json", data.manifest.model_copy(update={"task": "detect", "frames": rows}).document())
    row = rows[0]
    box = ProposedBox(label="disc", left=0.25, top=0.25, right=0.5, bottom=0.75, score=0.8)
    proposed = Candidate(
        kind="proposal", file=row.file, sha256=row.sha256, label="", suggested="disc", score=0.8, by="hand/1", boxes=(box,)
    )
    review_of(home).suggest("proposal", [proposed])
    with pytest.raises(InputError, match="this data set has boxes"):
        choose(home, relabel=[f"{row.sha256}=bar"])
    choose(home, accept=[row.sha256])
    assert dict(apply(home).counts) == {"boxes": 1}
    after = by_digest(current(home))
    assert after[row.sha256].boxes == (Box(label="disc", left=0.25, top=0.25, right=0.5, bottom=0.75),)
    assert [after[other.sha256].boxes for other in rows[1:]] == [other.boxes for other in rows[1:]]
