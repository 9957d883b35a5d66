"""What a command made at a cloud and was killed before it recorded: known by the row that was written before, and deleted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry.events import Deployed
from registry.stages import Stage

sys.path.insert(0, str(Path(__file__).parent))
from orders_world import NAME, Doubles, World, doubles, without_key
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
