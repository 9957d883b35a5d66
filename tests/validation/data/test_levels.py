"""How much checks weigh: the words of a job file, and what they mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.job.differences import differences
from pipelines.job.jobfile import parse_job
from registry.errors import InputError
from validation.data.catalogue import CHECKS, LEVELS, CheckLevels, as_levels, levels_of

JOB = {"model": "hand", "train": [{"kind": "torch"}]}


def levels(checks: object) -> CheckLevels:
    return parse_job(JOB | {"data": {"checks": checks}}, "job").data.check_levels


def test_strict_leaves_each_check_its_own_level_and_strict_ones_stop() -> None:
    for name, check in CHECKS.items():
        assert levels("strict").of(name) == check.level
        assert levels("strict").fails(name) == (check.level == "strict")
        assert levels("strict").stops(name) == (check.level == "strict" and name != "leaks")
    assert levels("strict").off == levels("strict").lowered == []


def test_warn_for_all_still_counts_errors_and_stops_for_none() -> None:
    assert all(levels("warn").of(name) == check.level for name, check in CHECKS.items())
    assert not any(levels("warn").stops(name) or levels("warn").fails(name) for name in CHECKS)


def test_leaks_fail_a_check_and_stop_training_only_where_the_job_names_them() -> None:
    assert levels("strict").of("leaks") == "strict"
    assert levels({"leaks": "strict"}).stops("leaks")
    assert levels({"default": "warn", "leaks": "strict"}).stops("leaks")
    assert not levels({"blur": "strict"}).stops("leaks")
    assert levels({"blur": "strict"}).fails("leaks")


@pytest.mark.parametrize("word", ["off", False])
def test_off_for_all_makes_none_however_yaml_reads_the_word(word: object) -> None:
    assert levels(word).off == list(CHECKS)
    assert levels({"default": word, "blur": "strict"}).off == [name for name in CHECKS if name != "blur"]
    assert levels({"blur": word}).off == ["blur"]


def test_a_check_that_is_named_weighs_what_is_written() -> None:
    chosen = levels({"default": "warn", "blur": "strict", "clip-leak": "warn"})
    assert [name for name in CHECKS if chosen.stops(name)] == ["blur"]
    assert chosen.lowered == ["clip-leak"]


@pytest.mark.parametrize(
    ("checks", "remedy"),
    [({"blurr": "off"}, "did you mean 'blur'?"), ({"clip_leak": "warn"}, "did you mean 'clip-leak'?"), ({"zzz": "off"}, "modelyard check --list")],
)  # fmt: skip
def test_a_check_that_is_not_there_is_refused_with_the_nearest_one(checks: dict, remedy: str) -> None:
    with pytest.raises(InputError, match="there is no data check") as refused:
        levels(checks)
    assert remedy in str(refused.value)
    assert "Value error" not in str(refused.value)


@pytest.mark.parametrize("checks", ["loud", True, 3, {"blur": "loud"}, {"blur": True}, ["blur"]])
def test_a_word_that_is_no_level_is_refused(checks: object) -> None:
    with pytest.raises(InputError, match=r"data\.checks"):
        levels(checks)


def test_a_changed_level_is_a_change_of_the_policy() -> None:
    strict, named = ({"data": {"checks": checks}} for checks in ("strict", {"blur": "off", "default": "strict"}))
    assert differences(strict, named) == ["data.checks strict → blur off, default strict"]
    assert differences(named, {"data": {"checks": {"blur": "warn", "default": "strict"}}}) == ["data.checks.blur off → warn"]


@given(st.sampled_from(LEVELS), st.dictionaries(st.sampled_from(list(CHECKS)), st.sampled_from(LEVELS)))
def test_what_is_written_is_read_again(default: str, named: dict) -> None:
    document = {"default": default, **named}
    data = parse_job(JOB | {"data": {"checks": document}}, "job").data
    assert as_levels(data.model_dump(mode="json")["checks"]) == document
    chosen = levels_of(data.checks)
    for name in CHECKS:
        if name in named:
            assert chosen.of(name) == named[name]
            assert chosen.stops(name) == (named[name] == "strict")
        else:
            assert chosen.fails(name) == (default == "strict" and CHECKS[name].level == "strict")
            assert chosen.stops(name) == (chosen.fails(name) and name != "leaks")


@given(st.lists(st.sampled_from(list(CHECKS)), min_size=1, unique=True), st.sampled_from(LEVELS))
def test_checks_that_are_asked_for_are_made_and_no_others(names: list[str], default: str) -> None:
    only = CheckLevels(default).only(names)
    assert [name for name in CHECKS if only.of(name) != "off"] == [name for name in CHECKS if name in names]
