"""Notices over real local receivers: HTTP that checks the signature, a Slack-like one, and SMTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socketserver
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr

from pipelines.home import Home
from pipelines.services.channels import Mail, Slack, Webhook, channels_of, slack_message
from pipelines.services.notices import Notice, budget_notices, notice_of
from pipelines.services.notifier import Notifier, Outbox, channel_status, notifier_of, start_notifier, try_all
from registry.errors import InputError, ModelyardError, UnavailableError
from registry.events import Flipped, PolicySet, Promoted, Refused, Trained, about
from registry.files import read_json
from registry.records import Finding, ModelVersion
from registry.settings import Settings
from registry.stages import Stage

HAND = about(ModelVersion("hand", 1, 1), "d")


class Receiver:
    """An HTTP server that keeps what it gets and answers as it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append(({key.lower(): value for key, value in self.headers.items()}, body))
                self.send_response(receiver.status.pop(0) if receiver.status else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook/s3cret"


class PostOffice(socketserver.StreamRequestHandler):
    """As much of SMTP as a message needs."""

    def handle(self) -> None:
        office, receivers = self.server, []
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            word = line.split()[0].upper() if line.split() else b""
            if word == b"EHLO":
                self.wfile.write(b"250-here\r\n250 AUTH PLAIN\r\n")
            elif word == b"AUTH":
                office.logins.append(base64.b64decode(line.split()[-1]))
                self.wfile.write(b"235 fine\r\n")
            elif word == b"RCPT":
                receivers.append(line.decode().strip())
                self.wfile.write(office.rcpt)
            elif word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                body = bytearray()
                while (part := self.rfile.readline()) != b".\r\n":
                    body += part
                office.mails.append((receivers, message_from_bytes(bytes(body))))
                self.wfile.write(b"250 taken\r\n")
            elif word == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"250 fine\r\n")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def office() -> Iterator[socketserver.ThreadingTCPServer]:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), PostOffice)
    server.daemon_threads = True
    server.mails, server.logins, server.rcpt = [], [], b"250 fine\r\n"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def a_notice(text: str = "hand/1 promoted", **fields) -> Notice:
    return Notice(id="row-1", kind="promotion", at=datetime(2026, 11, 24, tzinfo=UTC), model="hand", text=text, **fields)


def refuse(shop: Home, text: str = "top1 0.8 is below 0.9") -> None:
    findings = [Finding(gate="metric", passed=False, text=text)]
    shop.ledger().append(Refused(**HAND, stage=Stage.STAGING, actor="ada", findings=findings))


def test_a_webhook_is_signed_as_the_standard_says(receiver: Receiver) -> None:
    secret = b"sixteen bytes ok"
    key = SecretStr(f"whsec_{base64.b64encode(secret).decode()}")
    Webhook(SecretStr(receiver.url), key, clock=lambda: 1_700_000_000).send(a_notice())
    headers, body = receiver.got[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    good = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{good}"
    assert headers["webhook-timestamp"] == "1700000000"
    assert json.loads(body)["text"] == "hand/1 promoted"
    Webhook(SecretStr(receiver.url), SecretStr("another"), clock=lambda: 1_700_000_000).send(a_notice())
    assert receiver.got[1][0]["webhook-signature"] != headers["webhook-signature"]


def test_slack_gets_no_markup_and_mentions_nobody(receiver: Receiver) -> None:
    Slack(SecretStr(receiver.url)).send(a_notice("<!channel> & <http://evil|click> promoted", remedy="modelyard status"))
    message = json.loads(receiver.got[0][1])
    assert message["blocks"][0]["text"]["text"].startswith("*promotion* &lt;!channel&gt; &amp; &lt;http")
    assert "`modelyard status`" in message["blocks"][0]["text"]["text"]
    assert "<" not in message["text"]
    assert len(json.dumps(slack_message(a_notice("x" * 10_000)))) < 8000


def test_mail_goes_out_with_a_login_and_on_one_subject_line(office) -> None:
    server = SecretStr(f"smtp://ada:p%40ss@127.0.0.1:{office.server_address[1]}")
    Mail(server, "yard@here", ("eve@there", "bob@there")).send(a_notice("hand/1\nBcc: all@there promoted"))
    receivers, mail = office.mails[0]
    assert len(receivers) == 2
    assert office.logins == [b"\0ada\0p@ss"]
    assert mail["Bcc"] is None
    assert mail["Subject"] == "[modelyard] promotion: hand/1 Bcc: all@there promoted"
    assert "2026-11-24 00:00:00 UTC" in mail.get_payload()
    office.rcpt = b"550 nobody of that name\r\n"
    with pytest.raises(ModelyardError, match="every receiver was refused"):
        Mail(server, "yard@here", ("eve@there",)).send(a_notice())
    office.rcpt = b"450 greylisted, come again\r\n"
    with pytest.raises(UnavailableError, match="answered 450"):
        Mail(server, "yard@here", ("eve@there",)).send(a_notice())


def test_a_password_never_travels_in_the_clear_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import smtplib

    class Plain:
        def __init__(self, *_: object, **__: object) -> None: ...
        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None: ...
        def ehlo(self) -> None: ...
        def has_extn(self, _: str) -> bool:
            return False

        def login(self, *_: object) -> None:
            pytest.fail("the password was sent")

    monkeypatch.setattr(smtplib, "SMTP", Plain)
    with pytest.raises(ModelyardError, match="offers no encryption"):
        Mail(SecretStr("smtp://ada:pass@mail.example:25"), "a@b", ("c@d",)).send(a_notice())


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


def test_a_budget_is_told_when_it_warns_and_when_it_is_spent_once_each(tmp_path: Path) -> None:
    shop, known = Home(Settings(home=tmp_path)), dict[str, str]()
    from pipelines.job.jobfile import Job

    policy = Job.model_validate({"model": "hand", "train": [{"kind": "torch"}], "budget": {"usd_per_month": "1"}}).model_dump(
        mode="json"
    )
    shop.ledger().append(PolicySet(model="hand", actor="ada", job=policy, policy_hash="p"))
    fields = {
        "trainer": "torch",
        "run_id": "r",
        "dataset": "d",
        "seconds": 1,
        "hardware": "local: x",
        "price_as_of": "2026-11-22",
    }
    at, seen = datetime.now(UTC), list[str]()
    for usd in ("0.5", "0.35", "0.05", "0.2", "0.1"):
        shop.ledger().append(Trained(**HAND, usd=Decimal(usd), **fields))
        seen += [notice.text for notice in budget_notices(shop.ledger().entries(), datetime.now(UTC), known)]
    assert len(seen) == 2
    assert "nearly spent" in seen[0]
    assert "nothing new is started" in seen[1]
    assert f"{at:%Y-%m}" in seen[0]


def test_only_what_concerns_somebody_is_told(tmp_path: Path) -> None:
    shop = Home(Settings(home=tmp_path))
    shop.ledger().append(Flipped(**HAND, stage=Stage.STAGING, previous=None, actor="ada"))
    assert [notice_of(entry) for entry in shop.ledger().entries()] == [None]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"notify_webhook": "https://x"}, "set MODELYARD_NOTIFY_SECRET too"),
        ({"notify_webhook": "http://example.com", "notify_secret": "s"}, "is not an https address"),
        ({"notify_webhook": "https://x", "notify_secret": "whsec_!"}, "is not base64"),
        ({"notify_slack": "ftp://x"}, "is not an https address"),
        ({"notify_smtp": "mail.example"}, "is not a mail server's address"),
        ({"notify_smtp": "smtp://mail.example"}, "without sender and receivers"),
    ],
)
def test_a_channel_that_is_set_by_half_is_one_line(settings: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        channels_of(Settings(**settings))


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
