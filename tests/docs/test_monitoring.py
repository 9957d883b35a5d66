"""The files for Prometheus and Grafana ask for metrics that the server has, and are whole."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from serving.inference.traffic import is_request
from serving.server.prometheus import Figures
from serving.server.protocols.served import Served
from serving.workers.pool import Timings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docker" / "monitoring"
SELECTOR = re.compile(r"\b(modelyard_\w+)(?:\{([^}]*)\})?")


@pytest.fixture(scope="module")
def samples() -> dict[str, set[str]]:
    """Each sample of a server that has answered → its labels."""
    figures = Figures(Served("hand", 2, "0" * 64, ["a"], (3,)), 1_760_000_000.0)
    timings = Timings()
    timings.batches.append((1, 0.01, 0.02))
    figures.add([("plain", 200, 0.1), ("plain", 500, 0.1), ("health", 200, 0.1)], [("a", 0.9)], timings)
    page = figures.render(SimpleNamespace(waiting=0, alive=1, size=1)).decode()  # type: ignore[arg-type]
    known = dict[str, set[str]]()
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            known.setdefault(sample.name, set()).update(sample.labels)
    return known


def dashboard() -> dict[str, Any]:
    return json.loads((FOLDER / "grafana-dashboard.json").read_text())


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    panels = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    return [*panels, *(rule["expr"] for rule in rules())]


@pytest.mark.parametrize("expression", expressions())
def test_every_expression_asks_for_what_the_server_has(expression: str, samples: dict[str, set[str]]) -> None:
    assert expression.count("(") == expression.count(")")
    for name, selector in SELECTOR.findall(expression):
        assert name in samples, name
        asked = set(re.findall(r"(\w+)\s*[!=]~?", selector))
        assert asked <= samples[name] | {"endpoint"}, "`endpoint` is Prometheus' own label of the target"
    for names in re.findall(r'protocol!~"([^"]*)"', expression):
        assert not any(is_request(name) for name in names.split("|"))
        assert all(is_request(name) for name in ("plain", "mlflow", "oip") if re.fullmatch(names, name) is None)


def test_the_page_lists_every_metric(samples: dict[str, set[str]]) -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text()
    bare = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in samples}
    assert {name for name in bare if f"`{name}`" not in page and f"`{name}_total`" not in page} == set()


def test_the_dashboard_is_whole() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells)), "panels lie over each other"
    assert max(x for x, _ in cells) < 24
    assert all(panel["title"] and panel["description"] for panel in panels)
    assert {variable["name"] for variable in dashboard()["templating"]["list"]} == {"datasource", "endpoint"}


def test_each_alert_says_what_to_do() -> None:
    assert all(set(rule["annotations"]) == {"summary", "remedy"} for rule in rules())
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    assert config["rule_files"] == ["alerts.yml"]
    assert all("endpoint" in target["labels"] for target in config["scrape_configs"][0]["static_configs"])


def test_promtool_accepts_them(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is not installed here")
    for file in FOLDER.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "modelyard-key").write_text("key")
    plain = [text.replace("$__rate_interval", "1m").replace("$endpoint", ".*") for text in expressions()]
    panels = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(plain)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": panels}]}))
    for check in (["config", "prometheus.yml"], ["rules", "alerts.yml"], ["rules", "panels.yml"]):
        done = subprocess.run([promtool, "check", *check], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
