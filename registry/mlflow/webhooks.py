"""Asking an MLflow server to send webhooks of its registry."""

from __future__ import annotations

from typing import Any

from mlflow import MlflowClient
from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent
from pydantic import SecretStr

from registry.mlflow.connection import connect, mapping_errors

_NAME = "modelyard-reconciler"
_EVENTS = (
    (WebhookEntity.MODEL_VERSION, WebhookAction.CREATED),
    (WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.CREATED),
    (WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.DELETED),
)


def subscribe(uri: str, address: str, secret: SecretStr) -> None:
    """Have the server tell `address` of new versions and of aliases; an older subscription of ours is replaced."""
    client = MlflowClient(tracking_uri=connect(uri), registry_uri=uri)
    with mapping_errors(uri, "webhooks"):
        for old in client.list_webhooks():
            if old.name == _NAME:
                client.delete_webhook(old.webhook_id)
        events: list[Any] = [WebhookEvent(entity, action) for entity, action in _EVENTS]
        client.create_webhook(_NAME, address, events, secret=secret.get_secret_value())
