"""References and stages are read as MLflow spells them, and refused with a remedy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import InputError
from registry.refs import Ref, parse_ref
from registry.stages import Stage, check_move, parse_stage


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hand", Ref("hand")),
        ("hand/3", Ref("hand", version=3)),
        ("hand@production", Ref("hand", alias="production")),
        ("models:/hand/3", Ref("hand", version=3)),
        ("models:/hand@staging", Ref("hand", alias="staging")),
    ],
)
def test_every_spelling_is_read(text: str, expected: Ref) -> None:
    assert parse_ref(text) == expected


@pytest.mark.parametrize("text", ["", "hand/", "hand/0", "hand/-1", "hand@", "hand/1@x", "/3", "hand/1/2", "../etc/1"])
def test_what_is_no_reference_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InputError, match="for example hand/3"):
        parse_ref(text)


@given(st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True), st.integers(1, 10**6))
def test_a_reference_reads_back_from_its_own_text(model: str, version: int) -> None:
    for ref in (Ref(model), Ref(model, version=version), Ref(model, alias="production")):
        assert parse_ref(str(ref)) == ref
        assert parse_ref(ref.uri) == ref


def test_an_unknown_stage_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'production'"):
        parse_stage("prodution")


def test_a_stage_in_another_case_is_another_stage() -> None:
    with pytest.raises(InputError, match="did you mean 'production'"):
        parse_stage("Production")


def test_production_is_reached_through_staging_only() -> None:
    check_move("hand/1", Stage.STAGING, Stage.PRODUCTION)
    with pytest.raises(InputError, match="promote it to 'staging' first"):
        check_move("hand/1", Stage.NONE, Stage.PRODUCTION)
