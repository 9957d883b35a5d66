"""Every order of commands and restarts ends in what the person asked for, or in one line that says which key is missing where."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.deployment.retire import check_unwanted
from pipelines.promotion.policy import say_left
from pipelines.services.keys import missing_keys
from pipelines.services.reconciler import Reconciler
from registry.errors import DeniedError, InputError, ModelyardError
from registry.stages import Stage

sys.path.insert(0, str(Path(__file__).parent))
from orders_world import KINDS, NAME, VARIABLES, Doubles, Keys, World, doubles, without_key

pytestmark = pytest.mark.journey

NONE, BOTH = Keys(), Keys(("runpod", "huggingface"))
CLOUDS = ("runpod", "huggingface")


@pytest.fixture(scope="module")
def both(make_bundle, picture: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doubles]:
    with doubles(tmp_path_factory.mktemp("doubles"), make_bundle, picture) as made:
        yield made


@pytest.fixture
def world(both: Doubles, tmp_path: Path) -> World:
    return both.world(tmp_path)


def wait_long(world: World, patch: pytest.MonkeyPatch) -> None:
    """From now on every wait is over."""
    patch.setattr("registry.promotion.due.wait_is_over", lambda *_: True)
    patch.setattr("pipelines.deployment.retire.wait_is_over", lambda *_: True)
    if world.up is not None:
        world.up.parts.outages.clock = lambda: time.monotonic() + 3600


def notes(world: World) -> list[str]:
    """What `status` says of versions."""
    return [row.note for row in world.rows() if row.note]


def keyless(world: World) -> set[str]:
    """What `status` says of keys: each once."""
    return {str(wait) for row in world.rows() for wait in row.waits if wait.until is None}


@pytest.mark.parametrize("kind", CLOUDS)
def test_what_a_person_deployed_stays_while_up_runs_without_the_key(world: World, kind: str) -> None:
    world.start_up(NONE)
    world.set_policy(kind)
    outcome = world.to_production(1, NONE)
    assert [failed.attempt for failed in outcome.pending] == [0]
    assert "was not tried: " in str(outcome.pending[0])
    for _ in range(3):
        world.once()
    event = world.deploy(BOTH)
    before = world.standing()
    assert (event.target, [version for version, _ in before[kind]]) == (kind, [1])
    lines = [line for _ in range(3) for line in world.once()]
    assert world.standing() == before
    assert world.failures() == []
    assert without_key(lines, kind) == [], "it was said before"
    assert len(without_key(world.lines, kind)) == 2, "once by the pass, once by the person's own command"
    assert notes(world) == []
    (line,) = keyless(world)
    assert "`modelyard up` runs without" in line
    assert event.url in {row.endpoint for row in world.rows()}
    (line,) = missing_keys(world.home(NONE))
    assert line.startswith(f"{NAME} at {kind}")
    assert VARIABLES[kind] in line
    assert missing_keys(world.home(BOTH)) == []
    world.start_up(BOTH)
    world.once()
    assert world.standing() == before
    assert (world.failures(), keyless(world), notes(world)) == ([], set(), [])


@pytest.mark.parametrize("kind", CLOUDS)
def test_what_was_promoted_where_nobody_had_the_key_is_deployed_by_the_first_pass_that_has_it(world: World, kind: str) -> None:
    world.start_up(NONE)
    world.set_policy(kind)
    world.to_production(1, NONE)
    for _ in range(4):
        world.once()
    assert world.standing()[kind] == []
    world.start_up(BOTH)
    assert world.once() == ["deploy, retire of colours/1 for production brought up to date"]
    assert [version for version, _ in world.standing()[kind]] == [1]


def test_going_back_in_a_shell_without_the_key_is_done_by_up(world: World) -> None:
    world.start_up(BOTH)
    world.set_policy("runpod")
    world.to_production(1, BOTH)
    world.to_production(2, BOTH)
    assert [failed.attempt for failed in world.rollback(NONE).pending] == [0]
    world.once()
    assert [version for version, _ in world.standing()["runpod"]] == [1]
    assert world.failures() == []


@pytest.mark.parametrize("kind", CLOUDS)
def test_what_nobody_can_delete_for_want_of_a_key_stands_and_is_said_until_the_key_comes(world: World, kind: str) -> None:
    world.start_up(NONE)
    world.set_policy(kind)
    world.to_production(1, BOTH)
    world.promote(1, Stage.ARCHIVED, NONE)
    lines = [line for _ in range(3) for line in world.once()]
    assert len(without_key(lines, kind)) == 1
    assert [version for version, _ in world.standing()[kind]] == [1]
    assert world.failures() == []
    world.start_up(BOTH)
    assert world.once() == [f"{NAME} deleted: no version holds its stage"]
    assert world.standing()[kind] == []


def test_an_endpoint_moves_only_where_both_keys_are(world: World) -> None:
    world.start_up(Keys(("huggingface",)))
    world.set_policy("runpod")
    world.to_production(1, BOTH)
    world.set_policy("huggingface")
    lines = [line for _ in range(3) for line in world.once()]
    assert len(without_key(lines, "runpod")) == 1
    stands = {kind: [version for version, _ in known] for kind, known in world.standing().items()}
    assert stands == {"local": [], "runpod": [1], "huggingface": []}, "never two that are paid for"
    with pytest.raises(DeniedError, match=f"RUNPOD_API_KEY: is not set, and {NAME} is at runpod still"):
        world.deploy(Keys(("huggingface",)))
    world.start_up(BOTH)
    world.once()
    stands = {kind: [version for version, _ in known] for kind, known in world.standing().items()}
    assert stands == {"local": [], "runpod": [], "huggingface": [1]}


def test_a_single_pass_in_a_shell_says_what_it_lacks_and_nothing_of_up(world: World) -> None:
    world.start_up(BOTH)
    world.set_policy("runpod")
    world.to_production(1, BOTH)
    world.once()
    (line,) = Reconciler(world.parts(NONE), goes_on=False).once().acted
    assert "RUNPOD_API_KEY is not set where this runs" in line
    assert keyless(world) == set()


def test_what_is_gone_needs_no_key(world: World) -> None:
    world.set_policy("runpod")
    world.to_production(1, BOTH)
    world.promote(1, Stage.ARCHIVED, BOTH)
    world.set_policy("local")
    world.start_up(NONE)
    assert world.to_production(2, NONE).pending == []
    assert world.once() == []
    assert [version for version, _ in world.standing()["local"]] == [2]


def test_what_was_tidied_while_a_version_held_the_stage_says_nothing_of_its_endpoint(world: World) -> None:
    """The version goes to staging and back without the key: a `retire` in between finds production held, and leaves it."""
    world.set_policy("runpod")
    world.to_production(1, BOTH)
    world.set_policy("local")
    world.to_production(1, NONE)
    world.to_production(2, NONE)
    assert [version for version, _ in world.standing()["runpod"]] == [1], "without the key it cannot be deleted"
    assert_settles(world)


KEYS = st.sampled_from([NONE, BOTH, Keys(("runpod",)), Keys(("huggingface",))])
STEPS = st.one_of(
    st.tuples(st.just("policy"), st.sampled_from(KINDS)),
    st.tuples(st.just("promote"), st.sampled_from((1, 2, 3)), KEYS),
    st.tuples(st.just("deploy"), KEYS),
    st.tuples(st.sampled_from(("deploy_and_die", "die_between")), KEYS),
    st.tuples(st.just("rollback"), KEYS),
    st.tuples(st.just("archive"), KEYS),
    st.tuples(st.just("alias"), st.sampled_from((None, 1, 2, 3))),
    st.tuples(st.just("start_up"), KEYS),
    st.just(("pass",)),
    st.just(("pass",)),
)


def take(world: World, step: tuple) -> str:
    """One step of a person's; a refusal is what is returned."""
    try:
        match step:
            case ("policy", kind):
                world.set_policy(kind)
            case ("promote", number, keys):
                world.to_production(number, keys)
            case (("deploy" | "deploy_and_die" | "die_between" | "rollback" | "start_up") as command, keys):
                getattr(world, command)(keys)
            case ("archive", keys) if (holder := world.holder()) is not None:
                world.promote(holder, Stage.ARCHIVED, keys)
            case ("alias", None):
                world.store.delete_alias("colours", "production")
            case ("alias", number):
                world.store.set_alias("colours", "production", number)
            case _:
                pass
    except ModelyardError as error:
        return str(error)
    return ""


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(first=st.sampled_from(KINDS), keys=KEYS, steps=st.lists(STEPS, min_size=3, max_size=10))
def test_no_pass_that_lacks_a_key_deletes_or_blames_and_one_that_has_it_settles(
    both: Doubles, tmp_path_factory: pytest.TempPathFactory, first: str, keys: Keys, steps: list[tuple]
) -> None:
    world = both.world(tmp_path_factory.mktemp("world"))
    world.set_policy(first)
    world.start_up(NONE)
    for step in [("promote", 1, keys), *steps]:
        assert "\n" not in take(world, step)
        before = world.standing()
        world.once()
        after = world.standing()
        for kind in set(CLOUDS) - world.up_keys:
            assert after[kind] == before[kind], (kind, step)
        assert [str(failed) for failed in world.failures() if "is not set" in failed.reason] == []
        assert world.trials() == []
    assert not any("could not be" in line for line in world.lines), world.lines
    assert_settles(world)


def assert_settles(world: World) -> None:
    """With every key, and time, production is where and what it has to be, once, and nothing waits."""
    with pytest.MonkeyPatch.context() as patch:
        world.start_up(BOTH)
        wait_long(world, patch)
        for _ in range(3):
            world.once()
    holder, kind, alias = world.holder(), world.policy(), world.store.aliases("colours").get("production")
    stands = {target: [version for version, _ in known] for target, known in world.standing().items()}
    if holder == alias:
        assert stands == {target: [holder] if holder and target == kind else [] for target in KINDS}
    else:
        assert sum(map(len, stands.values())) <= 1, "the alias is on what was not ratified: what served goes on"
    assert (keyless(world), [note for note in notes(world) if "failed" in note]) == (set(), [])
    assert world.once() == []


def test_a_stage_s_own_endpoint_is_not_deleted_behind_its_policy_s_back(world: World) -> None:
    world.set_policy("runpod")
    world.to_production(1, BOTH)
    rows = world.ledger.entries("colours")
    with pytest.raises(InputError, match="serves colours@production, and would be deployed again; run `modelyard promote"):
        check_unwanted(rows, "runpod", NAME)
    for kind, name in (("local", NAME), ("runpod", "colours-staging"), ("runpod", "by-hand")):
        check_unwanted(rows, kind, name)
    world.set_policy(None)
    check_unwanted(world.ledger.entries("colours"), "runpod", NAME)
    lines = list[str]()
    say_left(world.ledger.entries("colours"), world.job(None), lines.append)
    assert lines == [
        f"{NAME} goes on at runpod, and nobody looks after it any more; `modelyard promote colours/1 archived` deletes it"
    ]
    world.start_up(BOTH)
    world.once()
    assert [version for version, _ in world.standing()["runpod"]] == [1], "what a person deployed stays"
    world.promote(1, Stage.ARCHIVED, BOTH)
    assert world.standing()["runpod"] == []
