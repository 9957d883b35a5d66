"""The dashboard in a real Chromium, wide and narrow, light and dark."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "dashboards")]

from pages import chromium
from worlds import MARKUP, a_run, budget, fill, fill_runs, make_data

from pipelines.services.dashboard import dashboard_running
from registry.opening import ledger_of
from registry.settings import Settings

pytestmark = pytest.mark.journey
PAGES = {
    "": "Models in production",
    "runs": "Runs",
    "registry": "Registry",
    "costs": "Costs",
    "forecast": "Forecast",
    "data": "Data",
    "review": "Review",
    "live": "Live",
}
SIZES = ((1280, 900, ("light", "dark")), (390, 844, ("dark", "light")))
"""Each page opens in the first scheme, and changes to the second as the system's setting does."""
APP = "document.querySelector('[data-testid=\"stApp\"]')"
BACKGROUND = (
    f"getComputedStyle({APP}).backgroundColor.match(/[\\d.]+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0)"
)
"""The sum of its red, green and blue."""
EVIL = "http://127.0.0.1:1/x.png"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shown")
    digest = make_data(folder)
    fill(folder, dataset=digest)
    fill(folder, MARKUP)
    budget(folder, "10")
    rows = [a_run(number) for number in range(30)]
    fill_runs(folder, [*rows, a_run(31, name=MARKUP, experiment=MARKUP, params={"note": MARKUP})])
    return folder


@pytest.fixture(scope="module")
def address(home: Path):
    with dashboard_running(Settings(home=home), "127.0.0.1", 0, lambda _: None) as keeper:
        yield keeper.addresses["dashboard"]


@pytest.mark.parametrize(("width", "height", "schemes"), SIZES)
def test_every_page_is_whole_in_a_browser_and_no_name_becomes_markup(
    home: Path, address: str, tmp_path: Path, width: int, height: int, schemes: tuple[str, str]
) -> None:
    rows = len(ledger_of(Settings(home=home)).entries())
    with chromium() as browser:
        page = browser.new_context(viewport={"width": width, "height": height}, color_scheme=schemes[0]).new_page()
        asked, dialogs, broken = list[str](), list[str](), list[str]()
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page.on("pageerror", lambda error: broken.append(str(error)))
        for name, title in PAGES.items():
            page.emulate_media(color_scheme=schemes[0])
            page.goto(f"{address}/{name}")
            page.get_by_role("heading", name=title, exact=True).wait_for()
            page.wait_for_function("!document.querySelector('[data-testid=\"stStatusWidget\"]')")
            page.wait_for_timeout(500)
            for scheme in schemes:
                page.emulate_media(color_scheme=scheme)
                page.wait_for_function(f"({BACKGROUND} < 200) === {str(scheme == 'dark').lower()}")
                assert page.locator('[data-testid="stException"]').count() == 0, name
                main = page.locator('[data-testid="stMain"]')
                assert main.evaluate("node => node.scrollWidth <= node.clientWidth + 1"), f"{name} is wider than {width} px"
                assert EVIL not in asked, name
                links = main.locator("a[href]").evaluate_all("links => links.map((link) => [link.innerText, link.href])")
                ours = [
                    text.split()[-1] == "Endpoint" for text, to in links if to.startswith(("http://127.0.0.1:1/", "mailto:"))
                ]
                assert all(ours), f"{name}: {links}"
                page.screenshot(path=str(tmp_path / f"{name or 'overview'}-{scheme}.png"))
        assert (dialogs, broken) == ([], [])
    assert len(ledger_of(Settings(home=home)).entries()) == rows
    assert len(list(tmp_path.glob("*.png"))) == 2 * len(PAGES)


def test_a_view_of_runs_is_a_link_and_a_report_comes_down(address: str, tmp_path: Path) -> None:
    with chromium() as browser:
        page = browser.new_page()
        page.goto(f"{address}/runs?filter=test_top1+%3E+0.75&runs={27:032x}%2C{28:032x}")
        page.get_by_text("the selected runs").wait_for()
        assert page.get_by_text("8 runs.").count() == 1  # five by MLflow's metrics, three by what the ledger says of versions
        page.get_by_label("Filter", exact=True).fill("name = 'torch 29'")
        page.get_by_label("Filter", exact=True).press("Enter")
        page.get_by_text("1 run.").wait_for()
        assert "torch+29" in page.url or "torch%2029" in page.url
        page.goto(address)
        with page.expect_download() as coming:
            page.get_by_role("button", name="Report (HTML, printable)").click()
        coming.value.save_as(tmp_path / "report.html")
        text = (tmp_path / "report.html").read_text()
        assert "<script" not in text
        assert "hand/2" in text
        page.goto((tmp_path / "report.html").as_uri())
        assert page.get_by_text("Correct on 10 of 10 images").count() == 2


def test_without_the_password_nothing_is_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_DASHBOARD_PASSWORD", "op3n")
    with dashboard_running(Settings(home=home), "127.0.0.1", 0, lambda _: None) as keeper, chromium() as browser:
        page = browser.new_page()
        page.goto(f"{keeper.addresses['dashboard']}/runs")
        page.get_by_label("Password", exact=True).fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("Wrong password").wait_for()
        assert page.get_by_text("torch").count() == 0
        assert page.get_by_role("link", name="Registry").count() == 0
        page.get_by_label("Password", exact=True).fill("op3n")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Runs", exact=True).wait_for()


def test_a_run_that_arrives_selects_no_other_run(home: Path, address: str) -> None:
    with chromium() as browser:
        page = browser.new_page()
        selected = {f"{27:032x}", f"{28:032x}"}
        page.goto(f"{address}/runs?runs={'%2C'.join(selected)}")
        page.get_by_text("31 runs.").wait_for()
        page.get_by_text("the selected runs").wait_for()
        fill_runs(home, [a_run(number) for number in range(30)] + [a_run(99), a_run(100)])
        for turn in range(10):  # the page asks for new runs every five seconds at most, and only when it is used
            page.wait_for_timeout(3000)
            page.get_by_label("Filter", exact=True).fill(f"test_top1 >= -{turn}")
            page.get_by_label("Filter", exact=True).press("Enter")
            page.wait_for_timeout(1000)
            if page.get_by_text("32 runs.").count():
                break
        page.get_by_text("32 runs.").wait_for()
        page.get_by_text("the selected runs").wait_for()
        page.wait_for_timeout(1000)
        assert set(parse_qs(urlsplit(page.url).query)["runs"][0].split(",")) == selected
