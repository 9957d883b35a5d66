"""A data scientist's way through MLflow's own pages: compare, promote, be refused, see why, promote the better one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from pages import chromium, refusal_of, save_alias
from servers import Server, serving
from trained_world import TrainedWorld

from pipelines.evaluation.describe import describe_in_mlflow
from pipelines.home import Home
from pipelines.promotion.assemble import assemble
from pipelines.services.reconciler import Reconciler
from registry.errors import ModelyardError
from registry.events import Evaluated, Refused, about
from registry.mlflow.store import MlflowStore
from registry.records import ClassScore, Evaluation, Finding
from registry.stages import Stage
from serving.export.reference import Reference

if TYPE_CHECKING:
    from pipelines.data.dataset import DataSet

pytestmark = pytest.mark.journey
NEVER_MS = 500_000
"""After which a page is taken to hang."""
GOOD, BAD, BROKEN = "efficientnet_lite0", "mobilenet_v2", "resnet18"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("pages") / "home"
    with serving(home, f"sqlite:///{home / 'mlflow.db'}", None) as started:
        yield started


@pytest.fixture
def world(server: Server, many_frames: DataSet, monkeypatch: pytest.MonkeyPatch) -> TrainedWorld:
    """Two versions with scores, the first too weak for staging and the second good enough; and a run that broke off."""
    world = TrainedWorld(server, many_frames, "digits3")
    monkeypatch.setattr(Reference, "probabilities", world.probabilities)
    world.policy(0.9)
    for number, (arch, share) in enumerate([(BAD, 0.75), (GOOD, 0.95)], 1):
        world.train(arch, share)
        world.evaluate(number)
    with pytest.raises(ModelyardError, match="NaN"):
        world.train(BROKEN, 0.5, breaks=True)
    return world


@pytest.fixture(scope="module")
def many_frames(server: Server, tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """A data set whose test split has enough images to make different scores of different networks."""
    from pipelines.data.catalog import DatasetCatalog
    from pipelines.demo.clips import Film, film_digits
    from pipelines.job.jobfile import Data

    folder = tmp_path_factory.mktemp("frames")
    clips = film_digits(folder / "clips", Film(clips=24, frames=4, digits=(0, 1, 2)), lambda *_: None)
    catalog = DatasetCatalog(server.settings.datasets)
    return catalog.build(Data(clips=clips), catalog.folder_of("digits3"), lambda *_: None)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Any]:
    """A page in a browser, and where its pictures go."""
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1400, "height": 1000})
        context.set_default_timeout(NEVER_MS)
        yield context.new_page()


def without_assistant(page: Any) -> None:
    """Close the panel of MLflow's assistant, which takes a third of each page."""
    page.get_by_text("MLflow Assistant").locator("xpath=ancestor::div[.//button][1]//button").last.click()


def opened_by(page: Any, link: Any) -> Any:
    """The page that a link of a description opens, which is a new one."""
    with page.context.expect_page() as opening:
        link.click()
    return opening.value


def read(page: Any, *words: str) -> str:
    """The text of a page, once all of these words are on it."""
    for word in words:
        page.get_by_text(word).first.wait_for()
    return page.locator("body").inner_text()


def picture_widths(page: Any) -> list[int]:
    """How wide each picture of a description is that the server has shown; 0 for one that it has not."""
    page.wait_for_function("[...document.images].every(picture => picture.complete)")
    return page.locator("img[src^=get-artifact]").evaluate_all("pictures => pictures.map(picture => picture.naturalWidth)")


def test_a_data_scientist_compares_is_refused_reads_why_and_promotes_the_better_one(
    world: TrainedWorld, page: Any, tmp_path: Path
) -> None:
    uri, name = world.server.uri, world.name
    reconciler = Reconciler(assemble(Home(world.server.settings), lambda _: None))
    reconciler.once()
    compare_runs(world, page, tmp_path)

    page.goto(f"{uri}/#/models/{name}")
    words = refusal_of(page, 1, "staging", tmp_path / "refused.png")
    assert f"modelyard: {name}/1 for staging: top1 0.7667 is below 0.9; what would help most:" in words
    assert world.server.holders(name) == {}
    reconciler.once()

    page.get_by_role("link", name="Version 1", exact=True).click()
    shown = read(page, "✗ refused", "Mistakes, the surest first")
    assert "top1 0.7667 is below 0.9. What would help most:" in shown
    assert f"modelyard predict {name}/1 PICTURE" in shown
    assert [width > 200 for width in picture_widths(page)] == [True, True]
    page.screenshot(path=tmp_path / "version.png")
    read_the_verdict(page, tmp_path)

    page.goto(f"{uri}/#/models/{name}")
    page.get_by_role("link", name="Version 2", exact=True).wait_for()
    save_alias(page, 2, "staging")
    page.get_by_role("dialog").wait_for(state="detached")
    assert world.server.holders(name) == {"staging": 2}
    reconciler.once()
    page.reload()
    assert "version 1, ✗ refused" not in read(page, "@ staging"), (
        "what production's gates said is all that the model's page has"
    )
    page.get_by_role("link", name="Version 2", exact=True).click()
    shown = read(page, "✓ passed")
    assert "top1 0.9667 is at least 0.9" in shown
    assert f"modelyard promote {name}/2 production" in shown
    page.screenshot(path=tmp_path / "passed.png")


def compare_runs(world: TrainedWorld, page: Any, folder: Path) -> None:
    """Two runs side by side, and what the pages of one that ended well and of one that did not say first."""
    experiment = world.server.client.get_experiment_by_name(world.name).experiment_id
    page.goto(f"{world.server.uri}/#/experiments/{experiment}/runs")
    page.get_by_text(f"torch {GOOD} 128 frozen").first.wait_for()
    without_assistant(page)
    for arch in (GOOD, BAD):
        page.locator(".ag-row").filter(has_text=arch).get_by_role("checkbox", name="Press Space").check()
    page.get_by_role("button", name="Compare").click()
    compared = read(page, "Comparing 2 Runs", "test_top1")
    assert {f"torch {GOOD} 128 frozen", f"torch {BAD} 128 frozen", "0.967", "0.767"} <= {
        line.strip() for line in compared.split("\n")
    }
    page.go_back()
    page.get_by_role("link", name=f"torch {GOOD} 128 frozen").first.click()
    shown = read(page, "About this run", "It became")
    assert f"Trained by torch on data set {world.name}@1" in shown
    assert f"modelyard gates {world.name}/2 staging" in shown
    page.get_by_text("Show more").first.click()
    page.screenshot(path=folder / "run.png")
    page.go_back()
    page.get_by_role("link", name=f"torch {BROKEN}").first.click()
    shown = read(page, "About this run", "Ended without a version")
    assert "loss: became NaN in step 7; lower the learning rate `lr`" in shown
    assert "modelyard train" in shown


def read_the_verdict(page: Any, folder: Path) -> None:
    """From the version's page to the run of its gates: the verdict stands first, and the report is its first file."""
    gates = opened_by(page, page.get_by_role("link", name="report"))
    shown = read(gates, "Description", "refused by 1 of 2 checks")
    assert [
        words for words in ("refused by 1 of 2", "What would help most", "top1 0.7667 is below 0.9") if words not in shown
    ] == []
    gates.get_by_text("Show more").first.click()
    gates.screenshot(path=folder / "gates.png")
    gates.get_by_role("tab", name="Artifacts").click()
    files = read(gates, "evidence.json")
    assert files.index("00_report.html") < files.index("evidence.json")
    gates.get_by_text("00_report.html").first.click()
    report = gates.frame_locator("iframe")
    report.get_by_text("for staging: refused").wait_for()
    assert "What would help most" in report.locator("body").inner_text()
    gates.close()


def test_a_name_that_anybody_chose_is_no_markup_on_mlflows_pages(server: Server, page: Any) -> None:
    names = ["@bob", "http://evil.example/x", "www.evil.example", "a@evil.example", ":smile:", "<img src=x onerror=1>", "[a](http://evil.example)", "a|b", "*a* _b_ `c` ~~d~~", "&lt;b&gt;", "# a", "$1 \\a"]  # fmt: skip
    name = server.model(1)
    version = server.prove(name, 1)
    classes = [ClassScore(label=label, precision=1, recall=1, f1=1, support=10) for label in names]
    facts = {"images": 10, "clips": 5, "confusion": [], "interval": (0.9, 1.0), "metrics": {"top1": 0.9}}
    scored = Evaluation(dataset="d" * 64, split="test", classes=classes, **facts)
    ledger = server.ledger()
    ledger.append(Evaluated(**about(version, ledger.entries(name)[-1].event.digest), evaluation=scored))
    finding = Finding(gate="metric", passed=False, text=" ; ".join(names))
    key = about(version, ledger.entries(name)[-1].event.digest)
    ledger.append(Refused(**key, stage=Stage.STAGING, actor="ada", findings=[finding], advice=names[1]))
    store = MlflowStore(server.uri)
    assert describe_in_mlflow(store, ledger, name, [1]) == ""
    page.goto(f"{server.uri}/#/models/{name}/versions/1")
    shown = read(page, "✗ refused")
    assert [label for label in names if label not in shown] == []
    hrefs = page.locator("a").evaluate_all("links => links.map(link => link.getAttribute('href') || '')")
    assert not [href for href in hrefs if "evil" in href or "github.com/bob" in href]
    assert page.locator("img[src=x]").count() == 0
