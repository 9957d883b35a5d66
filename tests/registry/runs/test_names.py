"""Filters reach every metric, parameter and tag, whatever its name and however many there are, in MLflow's own spelling too."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from registry.errors import InputError
from registry.runs.rows import RunRow, display_params, display_tags, split_metrics
from registry.runs.select import filter_runs, parse_conditions, sort_runs, value_of

MANY = 3000
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="`"), min_size=1, max_size=12)
ODD = st.sampled_from(["a b", "metrics.loss", "params.x", "a.b", "lr", "test/top1", "it's", "x > 3", "and", "=", "a,b", "(a)", "%", "like", "\u03b1"])  # fmt: skip
KINDS = {"metrics": ("metrics", "metric", "Metrics"), "params": ("params", "param", "parameter", "parameters"), "tags": ("tags", "tag")}  # fmt: skip


def a_run(name: str = "torch 1", **changes) -> RunRow:
    held = {"run_id": name, "experiment_id": "1", "experiment": "hand", "status": "FINISHED", "started_ms": 7, "ended_ms": None}
    return RunRow(**(held | {"metrics": {}, "params": {}, "tags": {"mlflow.user": "ada"}, "name": name} | changes))


def names(rows: list[RunRow], text: str) -> list[str]:
    return [row.name for row in filter_runs(rows, parse_conditions(text))]


@given(NAMES | ODD, st.sampled_from([(kind, spelled) for kind, all_of in KINDS.items() for spelled in all_of]), st.data())
def test_a_name_in_mlflows_quotes_is_that_name_and_no_other(name: str, kind: tuple[str, str], data: st.DataObject) -> None:
    quote = data.draw(st.sampled_from(["`", '"'] if '"' not in name else ["`"]))
    value = 2.0 if kind[0] == "metrics" else "2"
    rows = [a_run("has it", **{kind[0]: {name: value}}), a_run("not"), a_run("other", **{kind[0]: {f"{name}x": value}})]
    for text in (f"{kind[1]}.{quote}{name}{quote} = 2", f"{kind[1]}.{quote}{name}{quote} > 1 and name != other"):
        assert names(rows, text) == ["has it"]
        assert names(rows, f"{text} AND status = FINISHED") == ["has it"]
    others = {kind_: {name: 5.0 if kind_ == "metrics" else "5"} for kind_ in KINDS if kind_ != kind[0]}
    assert names([a_run("elsewhere", **others)], f"{kind[1]}.{quote}{name}{quote} = 5") == [], "its kind counts"


@given(NAMES | ODD)
def test_a_name_after_its_prefix_is_looked_up_as_it_is(name: str) -> None:
    assume('"' not in name)
    rows = [a_run("low", metrics={name: 1.0}), a_run("high", metrics={name: 2.0}), a_run("none")]
    for asked in (f"metrics.{name}", f"metrics.`{name}`", f'metrics."{name}"', f"metric.{name}"):
        assert [value_of(row, asked) for row in rows] == [1.0, 2.0, None]
        assert [row.name for row in sort_runs(rows, asked)] == ["high", "low", "none"]


def test_of_thousands_of_values_the_last_is_reached() -> None:
    good, odd = split_metrics({f"m{number:05}": float(number) for number in range(MANY)} | {"z": None})
    texts = {f"p{number:05}": str(number) for number in range(MANY)}
    row = a_run(metrics=good, params=display_params(texts), tags=display_tags(texts), odd=odd)
    last = f"{MANY - 1:05}"
    assert names([row], f"m{last} = {MANY - 1} and params.p{last} = {MANY - 1} and tags.`p{last}` = {MANY - 1}") == [row.name]
    assert (len(row.metrics), len(row.params), len(row.tags), row.odd) == (MANY, MANY, MANY, ["z"])


def test_mlflows_own_words_choose_as_they_do_there() -> None:
    rows = [a_run("resnet 1", params={"arch": "resnet18"}), a_run("ResNet 2", params={"arch": "ResNet50"}), a_run("mobile")]
    assert names(rows, "params.arch LIKE 'res%'") == ["resnet 1"]
    assert names(rows, "params.arch ILIKE 'res%'") == ["resnet 1", "ResNet 2"]
    assert names(rows, "params.arch like 'resnet_8'") == ["resnet 1"]
    assert names(rows, "params.arch IN ('resnet18', \"x\")") == ["resnet 1"]
    assert names(rows, "attributes.run_name not in ('mobile', 'resnet 1')") == ["ResNet 2"]
    assert names(rows, "attr.start_time >= 7 and run.status = 'FINISHED'") == [row.name for row in rows]
    assert names(rows, "tags.mlflow.user = 'ada'") == [row.name for row in rows]


@pytest.mark.parametrize("text", ["metrics.`a b > 3", "colour.`a` = 1", "a in 1", "a in ()", "a = (1)", "a in ('x' 'y')", "a like", "`` = 1", "metrics.`a` b = 1"])  # fmt: skip
def test_what_cannot_be_read_says_how_to_write_it(text: str) -> None:
    with pytest.raises(InputError, match="write conditions as in"):
        parse_conditions(text)


@given(st.text(max_size=30) | st.lists(st.sampled_from(["metrics.", "`", '"', "a", " ", "in", "(", ")", ",", "like", "'", "=", "1", "and", "not"]), max_size=12).map("".join))  # fmt: skip
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(InputError):
        filter_runs([a_run()], parse_conditions(text))
