"""Notices over real local receivers: each once, in order, again later where a receiver is away."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from pipelines.home import Home
from pipelines.services.channels import Slack, Webhook
from pipelines.services.notices import Notice
from pipelines.services.notifier import Notifier, Outbox, channel_status, notifier_of, start_notifier, try_all
from registry.errors import UnavailableError
from registry.events import Flipped, Promoted, now
from registry.files import read_json
from registry.settings import Settings
from registry.stages import Stage

sys.path.insert(0, str(Path(__file__).parent))
from receivers import HAND, Receiver, refuse


def test_what_happens_is_told_once_and_in_order_and_the_past_is_not(tmp_path: Path, receiver: Receiver) -> None:
    shop = Home(Settings(home=tmp_path))
    refuse(shop, "long ago")
    notifier = notifier_of(shop, lambda _: None, [Webhook(SecretStr(receiver.url), SecretStr("s"))])
    assert notifier.once() == 0
    refuse(shop)
    promoted = Promoted(**HAND, stage=Stage.STAGING, previous=None, actor="ada", findings=[])
    shop.ledger().append(promoted)
    shop.ledger().append(Flipped(**HAND, stage=Stage.STAGING, previous=None, actor="ada"))
    assert notifier.once() == 2
    assert notifier.once() == 0
    notices = [json.loads(body) for _, body in receiver.got]
    assert [(notice["kind"], notice["model"], notice["version"], notice["stage"]) for notice in notices] == [
        ("refusal", "hand", 1, "staging"),
        ("promotion", "hand", 1, "staging"),
    ]
    assert notices[0]["remedy"] == "modelyard gates hand/1 staging"


@pytest.mark.parametrize("fresh", [1, 2, 3])
@pytest.mark.parametrize("told_by", ["this release", "an older one"])
def test_what_happens_in_a_ledger_that_was_begun_anew_is_told(
    tmp_path: Path, receiver: Receiver, fresh: int, told_by: str
) -> None:
    shop = Home(Settings(home=tmp_path))
    for number in range(3 if told_by == "this release" else 4):
        refuse(shop, f"before {number}")
    notifier = notifier_of(shop, lambda _: None, [Webhook(SecretStr(receiver.url), SecretStr("s"))])
    assert notifier.once() == 0
    outbox = tmp_path / "notices" / "webhook.json"
    if told_by == "an older one":
        outbox.write_text(json.dumps({key: value for key, value in read_json(outbox).items() if key != "at"}))
    shop.ledger().begin_anew()
    for number in range(fresh):
        refuse(shop, f"after {number}")
    assert notifier.once() == fresh
    assert notifier.once() == 0
    refuse(shop, "later")
    assert notifier.once() == 1
    assert [body.decode().count("after") for _, body in receiver.got] == [1] * fresh + [0]


def test_who_follows_comes_along_to_a_ledger_that_was_begun_anew(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Home(Settings(home=tmp_path))
    refuse(shop, "before")
    notifier = notifier_of(shop, lambda _: None, [Webhook(SecretStr(receiver.url), SecretStr("s"))])
    notifier.skip()
    shop.ledger().begin_anew()
    refuse(shop, "long ago")
    with monkeypatch.context() as later:
        later.setattr("pipelines.services.notifier.now", lambda: now() + timedelta(minutes=5))
        notifier.skip()
    refuse(shop, "just now")
    assert notifier.once() == 1
    assert b"just now" in receiver.got[0][1]


def test_a_receiver_that_is_away_is_tried_again_later_with_the_same_id_even_by_another_process(
    tmp_path: Path, receiver: Receiver
) -> None:
    shop, clock = Home(Settings(home=tmp_path)), [1000.0]

    def notifier() -> Notifier:
        hook = Webhook(SecretStr(receiver.url), SecretStr("s"), clock=lambda: clock[0])
        return notifier_of(shop, lambda _: None, [hook], lambda: clock[0])

    notifier().once()
    refuse(shop)
    refuse(shop, "worse")
    receiver.status = [503, 429]
    assert notifier().once() == 0
    assert notifier().once() == 0
    assert len(receiver.got) == 1  # not yet due
    clock[0] += 2.1
    assert notifier().once() == 0
    clock[0] += 4.1
    assert notifier().once() == 2
    ids = [headers["webhook-id"] for headers, _ in receiver.got]
    assert ids[0] == ids[1] == ids[2] != ids[3]


def test_what_is_refused_for_good_is_given_up_and_said_and_holds_nobody_up(tmp_path: Path, receiver: Receiver) -> None:
    shop, lines = Home(Settings(home=tmp_path)), list[str]()
    notifier = notifier_of(shop, lines.append, [Slack(SecretStr(receiver.url))])
    notifier.once()
    refuse(shop)
    refuse(shop, "second")
    receiver.status = [404]
    assert notifier.once() == 1
    assert "its receiver refused the notice (404); check MODELYARD_NOTIFY_SLACK" in lines[0]
    assert "s3cret" not in lines[0]
    box = Outbox.model_validate(read_json(tmp_path / "notices" / "slack.json"))
    assert (box.delivered, box.given_up, box.waiting) == (1, 1, [])


def test_after_a_day_it_is_given_up(tmp_path: Path) -> None:
    shop, clock, lines = Home(Settings(home=tmp_path)), [1000.0], list[str]()

    class Away:
        name = "away"

        def send(self, _: Notice) -> None:
            raise UnavailableError("away", "cannot be reached", "it is tried again")

    notifier = notifier_of(shop, lines.append, [Away()], lambda: clock[0])
    notifier.once()
    refuse(shop)
    for _ in range(400):
        notifier.once()
        clock[0] += 300
    assert len(lines) == 1
    assert "given up" in lines[0]
    assert read_json(tmp_path / "notices" / "away.json")["waiting"] == []


def test_one_channel_that_is_away_does_not_hold_up_another(tmp_path: Path, receiver: Receiver) -> None:
    shop = Home(Settings(home=tmp_path))
    away = Webhook(SecretStr("http://127.0.0.1:1/"), SecretStr("s"))
    notifier = notifier_of(shop, lambda _: None, [away, Slack(SecretStr(receiver.url))])
    notifier.once()
    refuse(shop)
    assert notifier.once() == 1
    monkey = Home(Settings(home=tmp_path, notify_webhook="https://x", notify_secret="s"))
    assert channel_status(monkey)[0]["waiting"] == 1


def test_a_channel_that_breaks_in_a_way_nobody_thought_of_holds_up_no_other(tmp_path: Path, receiver: Receiver) -> None:
    shop, lines = Home(Settings(home=tmp_path)), list[str]()

    class Odd:
        name = "odd"

        def send(self, _: Notice) -> None:
            "é".encode("ascii")

    notifier = notifier_of(shop, lines.append, [Odd(), Slack(SecretStr(receiver.url))])
    notifier.once()
    refuse(shop)
    assert notifier.once() == 1
    assert "cannot send it (UnicodeEncodeError)" in lines[0]
    assert notifier.once() == 0
    assert len(lines) == 1


def test_a_clock_that_is_set_back_makes_no_notice_wait(tmp_path: Path, receiver: Receiver) -> None:
    shop, clock = Home(Settings(home=tmp_path)), [2_000_000_000.0]
    notifier = notifier_of(shop, lambda _: None, [Slack(SecretStr(receiver.url))], lambda: clock[0])
    notifier.once()
    refuse(shop)
    receiver.status = [503]
    assert notifier.once() == 0
    clock[0] = 1_790_000_000.0
    assert notifier.once() == 1


def test_a_channel_that_is_set_by_half_keeps_no_reconciler_from_starting(tmp_path: Path) -> None:
    lines = list[str]()
    assert start_notifier(Home(Settings(home=tmp_path, notify_webhook="https://x")), lambda: True, lines.append) is None
    assert "set MODELYARD_NOTIFY_SECRET too" in lines[0]


def test_a_broken_outbox_begins_anew(tmp_path: Path, receiver: Receiver) -> None:
    shop = Home(Settings(home=tmp_path))
    notifier = notifier_of(shop, lambda _: None, [Slack(SecretStr(receiver.url))])
    notifier.once()
    (tmp_path / "notices" / "slack.json").write_text("{")
    assert notifier.once() == 0
    refuse(shop)
    assert notifier.once() == 1


def test_a_test_notice_says_by_channel_how_it_went(receiver: Receiver) -> None:
    results = try_all(Settings(notify_webhook="http://127.0.0.1:1/x", notify_secret="s", notify_slack=receiver.url))
    assert [(result["channel"], result["state"]) for result in results] == [("webhook", "failed"), ("slack", "delivered")]
    assert "127.0.0.1:1" not in results[0]["said"]


def test_who_does_not_lead_sends_nothing_and_leaves_what_is_old_to_who_does(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pipelines.services.notifier

    shop = Home(Settings(home=tmp_path))
    notifier = notifier_of(shop, lambda _: None, [Slack(SecretStr(receiver.url))])
    notifier.once()
    refuse(shop)
    notifier.skip()
    assert read_json(tmp_path / "notices" / "slack.json")["row"] == 0
    monkeypatch.setattr(pipelines.services.notifier, "_BUDGETS_S", -1.0)
    notifier.skip()
    assert read_json(tmp_path / "notices" / "slack.json")["row"] == 1
    assert receiver.got == []
