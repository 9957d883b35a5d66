"""Channels over real local receivers: HTTP that checks the signature, a Slack-like one, and SMTP."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from pipelines.services.channels import Mail, Slack, Webhook, channels_of, slack_message
from registry.errors import InputError, ModelyardError, UnavailableError
from registry.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))
from receivers import Receiver, a_notice


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
