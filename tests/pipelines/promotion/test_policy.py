"""A job file becomes the policy by `policy set`, or with a promotion that passed by it; in no other way."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.cli.main import main
from pipelines.job.policy import JobChoice, current_policy, set_policy
from pipelines.promotion.assemble import assemble
from pipelines.promotion.decide import gates
from pipelines.promotion.follow import deploy_by_policy, export_by_policy
from pipelines.promotion.policy import Confirmation, approve_policy, record_policy
from registry.errors import InputError, RefusedError
from registry.records import Actor
from registry.refs import Ref
from registry.stages import Stage

sys.path.insert(0, str(Path(__file__).parent))
from policy_world import World, job, make_world

ADA, EVE = Actor("ada"), Actor("eve")
ROOT = Path(__file__).parents[3]
RUNPOD = {"production": {"kind": "runpod", "image": "i", "bundles": "hf:a/b"}}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return make_world(tmp_path, monkeypatch)


@pytest.fixture
def strict(world: World) -> World:
    """The policy asks for 0.9."""
    set_policy(world.home.ledger(), job(), ADA)
    return world


def recorded(world: World) -> Any:
    return current_policy(world.home.ledger().entries("hand"))


@pytest.mark.parametrize(
    ("stage", "lax", "error"),
    [
        (Stage.STAGING, 0.6, RefusedError),  # a gate says no
        (Stage.PRODUCTION, 0.1, InputError),  # an illegal move: it cannot even be asked
    ],
)
def test_a_promotion_that_did_not_happen_leaves_no_policy_behind(strict: World, stage: Stage, lax: float, error: type) -> None:
    with pytest.raises(error):
        strict.promote(2, job(lax), stage=stage)
    assert recorded(strict) == job()
    with pytest.raises(Exception, match=r"below 0\.9"):  # whoever sets the alias now is judged by the policy that was
        strict.alias(2)
    assert strict.store.aliases("hand") == {}
    strict.alias(1)
    assert strict.store.aliases("hand") == {"staging": 1}


def test_a_promotion_that_passes_records_both_or_neither(strict: World) -> None:
    outcome = strict.promote(2, job(0.3))
    assert strict.kinds() == ["policy_set", "policy_set", "promoted", "flipped"]
    assert outcome.policy is not None
    assert outcome.policy.changes == [
        "staging: metric top1 at_least 0.90 → 0.30",
        "production: metric top1 at_least 0.90 → 0.30",
    ]
    assert "policy of hand: staging: metric top1 at_least 0.90 → 0.30" in strict.lines
    assert recorded(strict) == job(0.3)


def test_the_first_policy_comes_with_the_first_promotion_that_passes_and_is_said(world: World) -> None:
    with pytest.raises(RefusedError):
        world.promote(2, job(), explicit=False)
    assert recorded(world) is None
    world.promote(1, job(), explicit=False)
    assert recorded(world) == job()
    assert "modelyard.yaml becomes the policy of hand, which has none, if the promotion passes" in world.lines


def test_a_job_file_that_only_lies_there_is_not_used_unasked(strict: World) -> None:
    with pytest.raises(InputError, match="differs from the policy of hand") as refused:
        strict.promote(1, job(0.3), explicit=False)
    assert "staging: metric top1 at_least 0.90 → 0.30" in refused.value.expectation
    assert "--job modelyard.yaml" in refused.value.remedy
    assert "modelyard policy set --job modelyard.yaml" in refused.value.remedy
    assert strict.kinds() == ["policy_set"]
    questions: list[str] = []
    with pytest.raises(InputError):
        strict.promote(1, job(0.3), explicit=False, ask=lambda question: bool(questions.append(question)))
    assert questions == ["modelyard.yaml differs from the policy. Promote by it?"]
    strict.promote(1, job(0.3), explicit=False, ask=lambda _: True)
    assert recorded(strict) == job(0.3)
    strict.promote(1, job(0.3), explicit=False)  # now it is the policy


def test_deploying_elsewhere_is_agreed_to_by_itself(strict: World) -> None:
    paid = job(deploy=RUNPOD)
    for kinds in ((), ("local",)):
        with pytest.raises(
            InputError, match=r"would change \(deploy.production none → runpod\); agree to it with --confirm-target"
        ):
            strict.promote(1, paid, targets=kinds)
        with pytest.raises(InputError, match="--confirm-target runpod"):
            record_policy(strict.home, paid, Confirmation(kinds), strict.say)
    assert strict.kinds() == ["policy_set"]
    record_policy(strict.home, paid, Confirmation(("runpod",)), strict.say)
    assert recorded(strict) == paid


def test_the_gates_say_what_is_other_and_change_nothing(strict: World) -> None:
    choice = JobChoice(job(0.3, deploy=RUNPOD), Path("other.yaml"), explicit=True)
    verdict = gates(strict.home, Ref("hand", 2), Stage.STAGING, choice, strict.say)
    assert verdict.passed
    assert any("0.90 → 0.30" in line for line in strict.lines)
    assert "staging of hand has no `deploy` in its policy: no endpoint is started for it" in strict.lines
    assert recorded(strict) == job()


@pytest.mark.parametrize(("what", "explicit"), [("deploy", True), ("deploy", False), ("export", False)])
def test_what_the_reconciler_would_undo_is_refused_with_the_difference(strict: World, what: str, explicit: bool) -> None:
    parts = assemble(strict.home, strict.say)
    other = job(deploy={"production": {"kind": "local", "workers": 3}}, export=[{"kind": "onnx", "quantize": "int8"}])
    choice = JobChoice(other, Path("other.yaml"), explicit=explicit)
    with pytest.raises(InputError, match="is not the policy of hand") as refused:
        if what == "deploy":
            deploy_by_policy(parts, Ref("hand", 1), Stage.PRODUCTION, choice)
        else:
            export_by_policy(parts, Ref("hand", 1), choice, ())
    assert ("deploy.production none → local" if what == "deploy" else "export onnx int8 added") in refused.value.expectation
    assert "modelyard policy set --job other.yaml" in refused.value.remedy


def test_the_gate_on_the_policy_holds_for_the_promotion_that_takes_it_out(world: World) -> None:
    guarded = job(gates={"staging": [{"kind": "metric", "at_least": 0.9}, {"kind": "policy"}]})
    set_policy(world.home.ledger(), guarded, ADA)
    world.promote(1)
    lax = job(0.3)
    with pytest.raises(RefusedError, match="policy changed since the promotion"):
        world.promote(2, lax)
    set_policy(world.home.ledger(), lax, ADA)
    for attempt in (lambda: world.promote(2), lambda: world.alias(2)):
        with pytest.raises(Exception, match="another person than ada runs `modelyard policy approve hand`"):
            attempt()
    with pytest.raises(RefusedError, match="ada set it, and cannot approve it"):
        approve_policy(world.home, "hand", "ada")
    approve_policy(world.home, "hand", "eve")
    world.promote(2)
    assert world.store.aliases("hand") == {"staging": 2}


def test_who_may_set_it_is_refused_when_tried_and_nothing_is_measured(world: World) -> None:
    set_policy(world.home.ledger(), job(policy={"set_by": ["ada"]}), ADA)
    with pytest.raises(RefusedError, match=r"may be set by ada \(logged in\), not by .* \(self-declared\)"):
        world.promote(1, job(0.3))
    with pytest.raises(RefusedError, match="may be set by"):
        set_policy(world.home.ledger(), job(0.3), EVE)
    assert world.kinds() == ["policy_set"]


def test_a_key_of_this_home_may_set_it_where_the_policy_says_so(world: World) -> None:
    ledger = world.home.ledger()
    set_policy(ledger, job(policy={"keys": [ledger.signer]}), ADA)
    set_policy(ledger, job(0.3, policy={"keys": ["0" * 16]}), EVE)
    assert recorded(world).policy.keys == ("0" * 16,)
    with pytest.raises(RefusedError, match="may be set by key 0000000000000000"):
        set_policy(ledger, job(), ADA)


def test_every_place_that_stores_a_policy_is_known() -> None:
    """`PolicySet(…)` is made in one function; who may call it, and what stores the result, is counted here."""
    calls: dict[str, set[str]] = {}
    for room in ("registry", "pipelines", "serving", "validation", "dashboards"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    calls.setdefault(node.func.id, set()).add(path.relative_to(ROOT).as_posix())
    assert calls["PolicySet"] == {"pipelines/job/policy.py"}
    assert calls["proposed_policy"] == {"pipelines/job/policy.py", "pipelines/promotion/policy.py"}
    assert calls["set_policy"] == {"pipelines/training/job.py", "pipelines/promotion/policy.py"}


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def test_the_commands_say_the_same_to_people_and_to_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for at_least in (0.9, 0.7):
        Path(f"{at_least}.yaml").write_text(yaml.safe_dump(job(at_least).model_dump(mode="json")))
    (tmp_path / "home").mkdir()
    home = ("--home", tmp_path / "home")
    assert run("policy", "show", "hand", *home) == 2
    assert "was never set; set it with `modelyard policy set`" in capsys.readouterr().err
    assert run("policy", "set", "-j", "0.9.yaml", *home) == 0
    assert run("policy", "set", "-j", "0.9.yaml", *home, "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) is None  # it is that already
    assert run("policy", "diff", "hand", "-j", "0.7.yaml", *home, "--json") == 1
    changes = ["staging: metric top1 at_least 0.90 → 0.70", "production: metric top1 at_least 0.90 → 0.70"]
    assert json.loads(capsys.readouterr().out) == changes
    assert run("policy", "set", "-j", "0.7.yaml", *home) == 0
    shown = capsys.readouterr()
    assert changes[0] in shown.out
    assert f"· policy of hand: {changes[0]}" in shown.err
    assert run("policy", "diff", "hand", "-j", "0.7.yaml", *home) == 0
    assert run("policy", "approve", "hand", "--as", "eve", *home) == 0
    capsys.readouterr()
    assert run("history", "hand", *home, "--json") == 0
    moments = json.loads(capsys.readouterr().out)
    assert [moment["what"] for moment in moments] == ["policy_set", "policy_set", "policy_approved"]
    assert moments[1]["changes"] == changes
    assert run("policy", "show", "hand", *home) == 0
    assert yaml.safe_load(capsys.readouterr().out)["gates"]["staging"][0]["at_least"] == 0.7


@pytest.mark.parametrize("typed", ["stagin", "Production", "prod", "archived", "none", ""])
@pytest.mark.parametrize("command", ["gates REF STAGE", "deploy REF --stage STAGE", "approve REF --stage STAGE",
                                     "rollback hand --stage STAGE", "endpoint quote STAGE -j JOB"])  # fmt: skip
def test_a_misspelt_stage_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, typed: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("job.yaml").write_text(yaml.safe_dump(job().model_dump(mode="json")))
    values = {"STAGE": typed, "REF": "hand/1", "JOB": "job.yaml"}
    assert run(*[values.get(word, word) for word in command.split()]) == 2
    err = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("·")]
    assert len(err) == 1
    assert err[0].startswith(f"modelyard: stage '{typed}': ")
