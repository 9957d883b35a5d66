"""Inference Endpoints, through Hugging Face's own library, in this project's errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from registry.errors import BusyError, NotFoundError, UnavailableError
from serving.targets.huggingface.hub import Hub

if TYPE_CHECKING:
    from huggingface_hub import HfApi, InferenceEndpoint, InferenceEndpointHardware, JobHardwareInfo

API = "https://api.endpoints.huggingface.cloud/v2"
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Endpoints:
    """The endpoints of one namespace."""

    hub: Hub
    namespace: str
    api: str = API

    def all(self) -> list[InferenceEndpoint]:
        """All endpoints."""
        return self.hub.call(lambda: self._library.list_inference_endpoints(namespace=self.namespace))

    def get(self, name: str) -> InferenceEndpoint | None:
        """The endpoint of that name, if it exists."""
        try:
            return self.hub.call(lambda: self._library.get_inference_endpoint(name, namespace=self.namespace))
        except NotFoundError:
            return None

    def create(self, name: str, **fields: Any) -> InferenceEndpoint:
        """Create it, or find it if a request whose answer was lost created it: names are unique."""
        try:
            return self.hub.call(lambda: self._library.create_inference_endpoint(name, namespace=self.namespace, **fields))
        except BusyError:
            if endpoint := self.get(name):
                return endpoint
            raise

    def update(self, name: str, changes: Mapping[str, Any]) -> InferenceEndpoint:
        """Change the given fields. Sent without the library's method, which drops fields that are None."""
        from huggingface_hub import InferenceEndpoint, get_session
        from huggingface_hub.utils import hf_raise_for_status

        def put() -> InferenceEndpoint:
            self._library  # noqa: B018 its connection is set up there
            answer = get_session().put(f"{self.api}/endpoint/{self.namespace}/{name}", headers=self.headers, json=changes)
            hf_raise_for_status(answer)
            return InferenceEndpoint.from_raw(answer.json(), namespace=self.namespace)

        return self.hub.call(put)

    def delete(self, name: str) -> None:
        """Delete it, if it exists."""
        try:
            self.hub.call(lambda: self._library.delete_inference_endpoint(name, namespace=self.namespace))
        except NotFoundError:
            return

    def hardware(self) -> list[InferenceEndpointHardware]:
        """Hardware for endpoints, with prices."""
        return self.hub.call(lambda: self._library.list_inference_endpoints_hardware(namespace=self.namespace))

    def job_hardware(self) -> list[JobHardwareInfo]:
        """Hardware for jobs, with prices."""
        return self.hub.call(self.hub.api.list_jobs_hardware)

    def logs(self, name: str) -> list[str]:
        """Its container's log."""
        address = f"{self.api}/endpoint/{self.namespace}/{name}/logs"
        try:
            answer = httpx.get(address, headers=self.headers, timeout=_TIMEOUT_S)
        except httpx.HTTPError as error:
            raise UnavailableError("Hugging Face", f"gives no logs ({type(error).__name__})", "try again later") from error
        return answer.text.splitlines() if answer.is_success else []

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request, also to an endpoint's own URL."""
        return {"Authorization": f"Bearer {self.hub.token.get_secret_value()}"}

    @property
    def _library(self) -> HfApi:
        """The library, pointed at `api`: it reads that URL from a constant."""
        api = self.hub.api
        from huggingface_hub import constants

        constants.INFERENCE_ENDPOINTS_ENDPOINT = self.api
        return api
