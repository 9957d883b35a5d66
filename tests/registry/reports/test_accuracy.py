"""One figure is a version's accuracy, wherever it is read: rows about other data, splits or bytes never change it."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from dashboards.overview import overview
from dashboards.queries import registry_table
from dashboards.report import as_json
from pipelines.queries.status import _row, mine
from registry.events import AnyEvent, Evaluated, Flipped, PolicySet, Promoted, Trained, Undone, about, now
from registry.memory import MemoryEntry
from registry.promotion.evidence import gather
from registry.promotion.state import fold
from registry.protocols import Entry
from registry.records import Evaluation, ModelVersion, SliceScore
from registry.reports.accuracy import is_own, own_evaluation, own_evaluations, run_metrics, scored_runs, with_own_scores
from registry.runs.rows import RunRow
from registry.stages import Stage

VERSION = ModelVersion("hand", 1, 100)
KEY = ("hand", 1, 100)


def trained(version: ModelVersion = VERSION, digest: str = "bytes", dataset: str = "data") -> Trained:
    facts = {"trainer": "torch", "run_id": f"run-{version.version}", "seconds": 1, "hardware": "h", "price_as_of": "x"}
    return Trained(**about(version, digest), usd=Decimal("0.5"), dataset=dataset, **facts)


def scored(
    top1: float, version: ModelVersion = VERSION, digest: str = "bytes", split: str = "test", dataset: str = "data"
) -> Evaluated:
    facts = {"images": 10, "clips": 5, "classes": [], "confusion": [], "interval": (top1 / 2, 1.0), "metrics": {"top1": top1}}
    return Evaluated(**about(version, digest), evaluation=Evaluation(dataset=dataset, split=split, **facts))


def rows(events: Iterable[AnyEvent], flaws: Iterable[int] = ()) -> list[Entry]:
    flawed = set(flaws)
    return [MemoryEntry(seq, now(), event, "touched" if seq in flawed else None) for seq, event in enumerate(events, 1)]


def served(version: ModelVersion = VERSION) -> list[AnyEvent]:
    fields = {"stage": Stage.PRODUCTION, "previous": None, "actor": "ada"}
    return [Promoted(**about(version, "bytes"), findings=[], **fields), Flipped(**about(version, "bytes"), **fields)]


@st.composite
def foreign(draw: st.DrawFn) -> Evaluated:
    """A score that is not the version's own: at least one of data, split, bytes or identity is another."""
    event = scored(
        draw(st.floats(0, 1)),
        draw(
            st.sampled_from([VERSION, ModelVersion("hand", 1, 99), ModelVersion("hand", 2, 100), ModelVersion("foot", 1, 100)])
        ),
        draw(st.sampled_from(["bytes", "others"])),
        draw(st.sampled_from(["test", "val", "train", "Test", "test "])),
        draw(st.sampled_from(["data", "another", ""])),
    )
    own = (*event.identity, event.model, event.digest) == (1, 100, "hand", "bytes")
    if own and (event.evaluation.split, event.evaluation.dataset) == ("test", "data"):
        return scored(event.evaluation.metrics["top1"], dataset="the candidate's")
    return event


def figures(entries: list[Entry]) -> dict[str, float | None]:
    """The version's accuracy by everything that shows it."""
    report = as_json(overview(entries, now()))["production"]
    table = registry_table(entries).set_index("version")
    row = _row(VERSION, Stage.PRODUCTION, fold(entries), mine([e for e in entries if e.event.model == "hand"], VERSION), None)
    metrics = {"test_top1": 0.123, "test_top1_low": 0.1, "val_top1": 0.4}
    fields = {"experiment_id": "1", "experiment": "hand", "name": "torch", "status": "FINISHED", "started_ms": 1, "ended_ms": 2}
    (run,) = with_own_scores([RunRow(run_id="run-1", metrics=metrics, params={}, tags={}, **fields)], entries)
    assert run.metrics["val_top1"] == 0.4
    return {
        "gate": gather([e for e in entries if e.event.model == "hand"], VERSION, "bytes").metric("top1"),
        "overview": overview(entries, now()).served[0].evaluation.metrics["top1"],
        "report": report[0]["test top-1"],
        "registry": table.loc["hand/1", "test top-1"].iloc[0]
        if table.index.has_duplicates
        else table.loc["hand/1", "test top-1"],
        "status": row.top1,
        "runs": run.metrics["test_top1"],
        "confusion": scored_runs(entries)["run-1"][1].metrics["top1"],
    }


@given(before=st.lists(foreign(), max_size=5), after=st.lists(foreign(), max_size=8), flawed=st.booleans())
def test_no_score_on_other_data_splits_or_bytes_is_shown_as_a_version_s_accuracy(
    before: list[Evaluated], after: list[Evaluated], flawed: bool
) -> None:
    events: list[AnyEvent] = [*before, trained(), scored(0.8312), *served(), *after]
    changed: list[AnyEvent] = [*events, scored(0.99)] if flawed else events
    shown = figures(rows(changed, {len(changed)} if flawed else ()))
    assert set(shown.values()) == {0.8312}, shown


def test_the_newest_own_score_is_shown_and_a_version_without_one_has_none() -> None:
    entries = rows([trained(), scored(0.7), scored(0.8), *served()])
    assert set(figures(entries).values()) == {0.8}
    assert own_evaluations(rows([scored(0.9), *served()])) == {}, "whose training nobody saw"
    assert own_evaluation(rows([trained(), scored(0.9)]), KEY, "replaced bytes") is None
    assert overview(rows([scored(0.9), *served()]), now()).served[0].evaluation is None


def test_a_score_says_beforehand_whether_it_is_the_version_s_own() -> None:
    entries = rows([trained(), scored(0.7)])
    assert is_own(entries, scored(0.9))
    for other in (
        scored(0.9, dataset="x"),
        scored(0.9, split="val"),
        scored(0.9, digest="x"),
        scored(0.9, ModelVersion("hand", 1, 9)),
    ):
        assert not is_own(entries, other)
    assert not is_own([], scored(0.9))


def test_a_run_s_overwritten_metrics_are_shown_as_the_ledger_has_them() -> None:
    fields = {"experiment_id": "1", "experiment": "hand", "name": "t", "status": "FINISHED", "started_ms": 1, "ended_ms": 2}
    mine = RunRow(run_id="run-1", metrics={"test_top1": 0.85, "loss": 1.0}, params={}, tags={}, odd=["test_top5"], **fields)
    strange = RunRow(run_id="elsewhere", metrics={"test_top1": 0.85}, params={}, tags={}, **fields)
    entries = rows([trained(), scored(0.8)])
    assert with_own_scores([mine, strange], entries)[0].metrics == {"loss": 1.0} | run_metrics(scored(0.8).evaluation)
    assert with_own_scores([mine, strange], entries)[0].odd == []
    assert with_own_scores([mine, strange], entries)[1] is strange
    unscored = with_own_scores([mine], rows([trained(), scored(0.85, dataset="x")]))
    assert unscored[0].metrics == {"loss": 1.0}, "the figure was another data set's"


def test_slices_are_those_of_the_policy_that_gates_go_by_though_a_later_one_was_undone() -> None:
    part = SliceScore(images=5, top1=0.9, pattern="night")
    score = scored(0.8)
    score = score.model_copy(update={"evaluation": score.evaluation.model_copy(update={"slices": {"dark": part}})})
    policy = PolicySet(model="hand", actor="ada", job={"data": {"slices": {"dark": "night"}}}, policy_hash="a")
    other = PolicySet(model="hand", actor="ada", job={}, policy_hash="b", promoting=True)
    begun = served()[0]
    entries = rows(
        [trained(), score, policy, other, begun, Undone(**about(VERSION, "bytes"), stage=Stage.PRODUCTION, reason="x")]
    )
    shown = own_evaluation(entries, KEY)
    assert shown == gather(entries, VERSION, "bytes").evaluation == own_evaluations(entries)[KEY]
    assert shown is not None
    assert shown.slices == {"dark": part}


def test_a_score_s_sentence_names_its_data() -> None:
    assert str(scored(0.5, dataset="0123456789abcdef")).endswith("on 10 test images of 5 clips of data set 0123456789ab")
