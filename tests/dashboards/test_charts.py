"""What charts name, and the mistakes beside them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
from worlds import a_run, make_data

from dashboards import trends
from dashboards.charts import PALETTE, confusion, curves, parallel, pareto_front
from dashboards.datasets import LocalDataset
from dashboards.mistakes import by_clip
from dashboards.money.charts import money_trend
from dashboards.runs import front_table, parallel_table
from registry.records import Mistake


def test_of_each_clip_one_mistake_is_shown_and_how_many_more(home: Path) -> None:
    make_data(home)
    dataset = LocalDataset(home / "datasets" / "hand")
    for frame in dataset.frames:
        frame["clip"] = frame["label"]
    wrong = [
        Mistake(file=f"test/{label}/{number}.jpg", label=label, answer="x", probability=1 - number / 10)
        for number, label in ((1, "a"), (1, "b"), (2, "a"), (2, "b"), (9, "a"))
    ]
    shown = by_clip(wrong, dataset)
    assert [(mistake.file, more) for mistake, more in shown] == [
        ("test/a/1.jpg", 1),
        ("test/b/1.jpg", 1),
        ("test/a/9.jpg", 0),
    ], "what the data set does not name stands by itself"
    assert [more for _, more in by_clip(wrong, None)] == [0] * 5


def test_charts_name_lines_and_axes_and_survive_many_classes_and_one_value() -> None:
    points = pd.DataFrame([("a", "lr", 0.1, 0.0), ("b", "lr", 0.4, 1.0), ("a", "epochs", 5, 0.5), ("b", "epochs", 5, 0.5)])
    points.columns = ["run", "axis", "value", "share"]
    layers = parallel(points).to_dict()
    texts = [rows for rows in layers["datasets"].values() if len(rows) == 3]
    assert sorted(row["value"] for row in texts[0]) == [0.1, 0.4, 5], "each axis has its lowest and its highest value"
    for classes, layered in ((25, 2), (26, 1), (200, 1)):
        names = [f"class {number}" for number in range(classes)]
        cells = pd.DataFrame([(name, name, 3, 1.0) for name in names], columns=["truth", "answer", "images", "share"])
        chart = confusion(cells).to_dict()
        assert len(chart["layer"]) == layered, "numbers would be a gray haze"
    lines = pd.DataFrame(
        [("a", 1, 0.5, 0.5), ("a", 2, 0.7, 0.7), ("b", 1, 0.2, 0.2)], columns=["run", "step", "value", "measured"]
    )
    ends = [rows for rows in curves(lines, "loss").to_dict()["datasets"].values() if len(rows) == 2]
    assert {(row["run"], row["step"]) for row in ends[0]} == {("a", 2), ("b", 1)}, "each line is named at its end"
    assert len(set(PALETTE)) == len(PALETTE) == 8


def test_text_within_a_chart_has_a_colour_of_its_own() -> None:
    """Vega's default is black on either theme: names of points were not to be read on the dark one."""
    runs = [a_run(number) for number in range(3)]
    front = pareto_front(front_table(runs, "cost_usd", "test_top1"), "cost_usd", "test_top1")
    lines = pd.DataFrame([("a", step, 0.5, 0.5) for step in range(2)], columns=["run", "step", "value", "measured"])
    months = money_trend(trends.money_trend([], {"a": Decimal(1)}, {"a": Decimal(2)}, datetime(2026, 11, 1, tzinfo=UTC)))
    for chart in (front, parallel(parallel_table(runs, ["test_top1"])), curves(lines, "loss"), months):
        texts = [layer for layer in chart.to_dict()["layer"] if layer["mark"]["type"] == "text"]
        assert texts
        assert all("color" in layer["mark"] or "color" in layer["encoding"] for layer in texts)
