"""What a command made at a cloud and was killed before it recorded: known by the row that was written before, and deleted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry.errors import ModelyardError
from registry.events import Deployed, EndpointDeleted, Exported
from registry.memory import MemoryLedger
from registry.stages import Stage

sys.path.insert(0, str(Path(__file__).parent))
from orders_world import NAME, Doubles, Keys, World, doubles, without_key
from test_orders import BOTH, CLOUDS, NONE, assert_settles

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def both(make_bundle, picture: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doubles]:
    with doubles(tmp_path_factory.mktemp("doubles"), make_bundle, picture) as made:
        yield made


@pytest.fixture
def world(both: Doubles, tmp_path: Path) -> World:
    return both.world(tmp_path)


@pytest.mark.parametrize("kind", CLOUDS)
@pytest.mark.parametrize("end", ["archived", "alias removed"])
def test_what_a_killed_command_made_and_never_recorded_is_deleted_with_its_stage(world: World, kind: str, end: str) -> None:
    world.set_policy(None)
    world.to_production(1, NONE)
    world.set_policy(kind)
    world.deploy_and_die(BOTH)
    assert [version for version, _ in world.standing()[kind]] == [1]
    assert not any(isinstance(row.event, Deployed) for row in world.ledger.entries("colours"))
    world.start_up(NONE)
    if end == "archived":
        world.promote(1, Stage.ARCHIVED, NONE)
    else:
        world.store.delete_alias("colours", "production")
    lines = [line for _ in range(3) for line in world.once()]
    lacking = without_key(lines, kind)
    assert lacking, "without the key it stands"
    assert len(lacking) == len(set(lacking)), "which is said once"
    assert [version for version, _ in world.standing()[kind]] == [1]
    world.start_up(BOTH)
    assert f"{NAME} deleted: no version holds its stage" in world.once()
    assert world.standing()[kind] == []
    assert world.once() == []


def test_what_a_killed_command_made_elsewhere_is_deleted_once_the_policy_is_back(world: World) -> None:
    world.set_policy("runpod")
    world.to_production(1, BOTH)
    world.set_policy("huggingface")
    world.deploy_and_die(BOTH)
    world.set_policy("runpod")
    assert {kind: len(known) for kind, known in world.standing().items()} == {"local": 0, "runpod": 0, "huggingface": 1}
    assert_settles(world)


def test_an_attempt_that_left_nothing_keeps_nobody_from_anything(world: World) -> None:
    """It is refused where the policy moved to, and the policy is moved back: the other place's key is not asked for again."""
    world.set_policy("runpod")
    world.to_production(1, BOTH)
    world.set_policy("huggingface")
    world.hub.double.faults.add("unhealthy", "^POST /ie-api/endpoint/me$")
    with pytest.raises(ModelyardError):
        world.deploy(BOTH)
    rows = [str(row.event) for row in world.ledger.entries("colours") if isinstance(row.event, EndpointDeleted)]
    assert rows == ["the endpoint at production of colours/1 on huggingface me deleted: the attempt failed and left nothing"]
    world.set_policy("runpod")
    only = Keys(("runpod",))
    assert world.deploy(only).target == "runpod"
    world.start_up(only)
    for _ in range(2):
        assert world.once() == []
    assert world.promote(1, Stage.ARCHIVED, only).pending == []
    assert world.once() == []
    assert {kind: len(known) for kind, known in world.standing().items()} == {"local": 0, "runpod": 0, "huggingface": 0}


def test_what_can_be_deleted_is_deleted_though_another_account_lacks_its_key(world: World) -> None:
    world.set_policy("runpod")
    world.to_production(1, BOTH)
    world.set_policy("huggingface")
    world.die_between(BOTH)
    assert {kind: len(known) for kind, known in world.standing().items()} == {"local": 0, "runpod": 1, "huggingface": 1}
    world.set_policy("runpod")
    only = Keys(("runpod",))
    world.start_up(only)
    world.once()
    assert world.once() == [], "what serves is looked after"
    world.promote(1, Stage.ARCHIVED, only)
    for _ in range(3):
        world.once()
    assert {kind: len(known) for kind, known in world.standing().items()} == {"local": 0, "runpod": 0, "huggingface": 1}
    assert world.once() == []
    assert_settles(world)
    assert {kind: len(known) for kind, known in world.standing().items()} == {"local": 0, "runpod": 0, "huggingface": 0}


def test_an_endpoint_of_another_home_is_not_deleted_for_an_attempt_that_failed(both: Doubles, tmp_path: Path) -> None:
    other = both.world(tmp_path / "other")
    other.set_policy("runpod")
    other.to_production(1, BOTH)
    mine = World(tmp_path / "mine", other.runpod, other.hub, other.store, MemoryLedger())
    for row in other.ledger.entries("colours"):
        if isinstance(row.event, Exported):
            mine.ledger.append(row.event)
    mine.set_policy(None)
    mine.promote(2, Stage.STAGING, NONE)
    mine.promote(2, Stage.PRODUCTION, NONE)
    mine.set_policy("runpod")
    mine.runpod.double.faults.add("unhealthy", "^POST /v2/serverless$")
    with pytest.raises(ModelyardError):
        mine.deploy(BOTH)
    before = mine.standing()["runpod"]
    assert [version for version, _ in before] == [1], "the other home's"
    mine.promote(2, Stage.ARCHIVED, BOTH)
    mine.start_up(BOTH)
    mine.once()
    assert mine.standing()["runpod"] == before
