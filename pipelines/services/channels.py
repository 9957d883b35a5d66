"""How notices leave: a signed webhook, Slack's kind of message, e-mail. No error names an address: it may hold a secret.

The webhook is signed as Standard Webhooks say (standardwebhooks.com): HMAC-SHA256 over `id.timestamp.body`, in base64.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import smtplib
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import httpx
from pydantic import SecretStr

from pipelines.services.notices import Notice
from registry.errors import InputError, ModelyardError, UnavailableError
from registry.settings import Settings

_PATIENCE_S = 10.0
_LATER = {408, 425, 429}
_SERVER = 500
"""From here on an HTTP server failed; of SMTP's codes these are final, and those below are not."""
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Channel(Protocol):
    """One way out. `send` raises UnavailableError for what may go better later, and ModelyardError for what will not."""

    @property
    def name(self) -> str:
        """What it is called in messages and files."""
        ...

    def send(self, notice: Notice) -> None:
        """Deliver one notice."""
        ...


@dataclass(frozen=True)
class Webhook:
    """JSON to an address, signed."""

    url: SecretStr
    secret: SecretStr
    clock: Callable[[], float] = time.time
    name: str = "webhook"

    def send(self, notice: Notice) -> None:
        """POST the notice."""
        body, stamp = notice.model_dump_json().encode(), str(int(self.clock()))
        headers = {"webhook-id": notice.id, "webhook-timestamp": stamp, "content-type": "application/json"}
        headers["webhook-signature"] = sign(self.secret, notice.id, stamp, body)
        _post(self.name, self.url, body, headers)


@dataclass(frozen=True)
class Slack:
    """A message as Slack's incoming webhooks take it; Mattermost, Rocket.Chat and Discord's `/slack` do too."""

    url: SecretStr
    name: str = "slack"

    def send(self, notice: Notice) -> None:
        """POST the message."""
        _post(self.name, self.url, json.dumps(slack_message(notice)).encode(), {"content-type": "application/json"})


@dataclass(frozen=True)
class Mail:
    """E-mail by SMTP. A password only travels encrypted."""

    server: SecretStr
    sender: str
    receivers: tuple[str, ...]
    name: str = "mail"
    tls: Callable[[], ssl.SSLContext] = field(default=ssl.create_default_context, compare=False)

    def send(self, notice: Notice) -> None:
        """Send one message to all."""
        server = urlsplit(self.server.get_secret_value())
        host, implicit = server.hostname or "", server.scheme == "smtps"
        port = server.port or (465 if implicit else 587)
        try:
            with (
                smtplib.SMTP_SSL(host, port, timeout=_PATIENCE_S, context=self.tls())
                if implicit
                else smtplib.SMTP(host, port, timeout=_PATIENCE_S)
            ) as smtp:
                smtp.ehlo()
                if not implicit and smtp.has_extn("starttls"):
                    smtp.starttls(context=self.tls())
                    smtp.ehlo()
                elif not implicit and server.password and host not in _LOOPBACK:
                    raise InputError(self.name, "its server offers no encryption", "use smtps://, or a server with STARTTLS")
                if server.username:
                    smtp.login(unquote(server.username), unquote(server.password or ""))
                smtp.send_message(self._message(notice))
        except smtplib.SMTPResponseException as error:
            if error.smtp_code >= _SERVER:
                why = f"its server refused the message ({error.smtp_code})"
                raise ModelyardError(self.name, why, "check MODELYARD_NOTIFY_SMTP, _MAIL_FROM and _MAIL_TO") from None
            raise _later(self.name, f"answered {error.smtp_code}") from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = {code for code, _ in error.recipients.values()}
            if any(code < _SERVER for code in codes):  # greylisting asks to come again
                raise _later(self.name, f"answered {min(codes)}") from None
            raise ModelyardError(self.name, "every receiver was refused", "check MODELYARD_NOTIFY_MAIL_TO") from None
        except (OSError, smtplib.SMTPException) as error:
            raise _later(self.name, type(error).__name__) from None

    def _message(self, notice: Notice) -> EmailMessage:
        message = EmailMessage()
        message["From"], message["To"] = self.sender, ", ".join(self.receivers)
        message["Subject"] = " ".join(f"[modelyard] {notice.kind}: {notice.text}".split())[:200]
        message["Message-ID"] = f"<{hashlib.sha256(notice.id.encode()).hexdigest()[:32]}@modelyard>"
        message.set_content("\n\n".join(words_of(notice)))
        return message


def sign(secret: SecretStr, notice_id: str, stamp: str, body: bytes) -> str:
    """The header `webhook-signature`. A secret that begins with `whsec_` is base64, as the standard writes it."""
    text = secret.get_secret_value()
    key = base64.b64decode(text.removeprefix("whsec_"), validate=True) if text.startswith("whsec_") else text.encode()
    mac = hmac.new(key, f"{notice_id}.{stamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(mac.digest()).decode()}"


def slack_message(notice: Notice) -> dict[str, Any]:
    """The text, with what Slack would take for markup or a mention escaped."""
    head, *rest = (part.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for part in words_of(notice))
    lines = [f"*{notice.kind}* {head}", *(f"`{part}`" if part == notice.remedy else part for part in rest)]
    block = {"type": "section", "text": {"type": "mrkdwn", "text": "\n".join(lines)[:2900], "verbatim": True}}
    return {"text": f"{notice.kind}: {head}"[:2900], "blocks": [block]}


def words_of(notice: Notice) -> list[str]:
    """The sentence, when it was, and the command that would fix it."""
    return [notice.text, f"{notice.at:%Y-%m-%d %H:%M:%S} UTC", *([notice.remedy] if notice.remedy else [])]


def channels_of(settings: Settings) -> list[Channel]:
    """Those that are set. Raises InputError for one that is set by half."""
    channels = list[Channel]()
    if settings.notify_webhook:
        if settings.notify_secret is None:
            raise InputError("MODELYARD_NOTIFY_WEBHOOK", "is set without what to sign with", "set MODELYARD_NOTIFY_SECRET too")
        try:
            sign(settings.notify_secret, "", "", b"")
        except binascii.Error:
            raise InputError("MODELYARD_NOTIFY_SECRET", "is not base64 after whsec_", "copy it whole") from None
        channels.append(Webhook(_web("WEBHOOK", settings.notify_webhook), settings.notify_secret))
    if settings.notify_slack:
        channels.append(Slack(_web("SLACK", settings.notify_slack)))
    if settings.notify_smtp:
        server = urlsplit(settings.notify_smtp.get_secret_value())
        if server.scheme not in {"smtp", "smtps"} or not server.hostname:
            raise InputError("MODELYARD_NOTIFY_SMTP", "is not a mail server's address", "write smtp://USER:PASSWORD@HOST:587")
        receivers = tuple(part.strip() for part in settings.notify_mail_to.split(",") if part.strip())
        if not receivers or not settings.notify_mail_from:
            remedy = "set MODELYARD_NOTIFY_MAIL_FROM and _MAIL_TO too"
            raise InputError("MODELYARD_NOTIFY_SMTP", "is set without sender and receivers", remedy)
        channels.append(Mail(settings.notify_smtp, settings.notify_mail_from, receivers))
    return channels


def _web(name: str, url: SecretStr) -> SecretStr:
    parts = urlsplit(url.get_secret_value())
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return url
    raise InputError(f"MODELYARD_NOTIFY_{name}", "is not an https address", "write https://…; plain http only to this machine")


def _post(name: str, url: SecretStr, body: bytes, headers: dict[str, str]) -> None:
    try:
        answer = httpx.post(url.get_secret_value(), content=body, headers=headers, timeout=_PATIENCE_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _later(name, type(error).__name__) from None
    if answer.is_success:
        return
    if answer.status_code >= _SERVER or answer.status_code in _LATER:
        raise _later(name, f"answered {answer.status_code}")
    why = f"its receiver refused the notice ({answer.status_code})"
    raise ModelyardError(name, why, f"check MODELYARD_NOTIFY_{name.upper()}")


def _later(name: str, why: str) -> UnavailableError:
    return UnavailableError(name, f"cannot be reached ({why})", "it is tried again")
