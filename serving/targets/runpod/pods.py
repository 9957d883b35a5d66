"""RunPod's pods over REST v2: machines by the second, one GPU type each, and the secrets that they read."""

from __future__ import annotations

from datetime import UTC, datetime

from serving.targets.runpod.pod_shapes import DataCenter, NewPod, NewSecret, Pod, PodBill, PodGpuType, Secret
from serving.targets.runpod.transport import RunPodTransport

_SUFFIXES = ("", " -fb")
"""RunPod has been seen to add the second one to a name."""


class PodClient(RunPodTransport):
    """RunPod's control plane, as far as pods need it."""

    remedy = "fix the job's `launch`"

    def pods(self) -> list[Pod]:
        """Every pod of the account, all pages. One that was just created may be missing for some seconds."""
        return self._many(Pod, "/pods", "pods")

    def pods_named(self, name: str) -> list[Pod]:
        """Pods of exactly that name, oldest first: names are not unique."""
        names = {name + suffix for suffix in _SUFFIXES}
        return sorted((pod for pod in self.pods() if pod.name in names), key=lambda pod: (pod.created_at, pod.id))

    def pod(self, number: str) -> Pod:
        """One pod. Raises NotFoundError if it is gone."""
        return self._one(Pod, "GET", f"/pods/{number}")

    def create_pod(self, new: NewPod) -> Pod:
        """Create a pod, which is billed from then on.

        Raises UnmetError where there is no capacity (or the request is wrong), LostReplyError if it may or may not exist now,
        RefusedError without balance, ForbiddenError where the key may not have this kind, TooLargeError for its size.
        """
        return self._one(Pod, "POST", "/pods", new)

    def terminate_pod(self, number: str) -> None:
        """End it for good, if it exists: a pod that is only stopped may go on costing, and may never start again."""
        self._delete(f"/pods/{number}")

    def pod_gpus(self) -> list[PodGpuType]:
        """The GPUs that pods can have, with price and stock."""
        return self._many(PodGpuType, "/catalog/gpus", "gpus", {"include": "AVAILABILITY", "product": "POD"})

    def pod_bills(self, number: str, since: datetime) -> list[PodBill]:
        """What a pod cost since then, by the hour."""
        params = {"podId": number, "startTime": since.astimezone(UTC).isoformat(), "bucketSize": "hour"}
        return self._many(PodBill, "/billing/pods", "records", params)

    def data_centers(self) -> list[DataCenter]:
        """RunPod's data centers."""
        return self._many(DataCenter, "/catalog/datacenters", "dataCenters")

    def secrets(self) -> list[Secret]:
        """The account's secrets, without their values."""
        return self._many(Secret, "/account/secrets", "secrets")

    def create_secret(self, new: NewSecret) -> Secret:
        """Keep a secret. Raises BusyError where the name is taken, LostReplyError if it may or may not be kept now."""
        return self._one(Secret, "POST", "/account/secrets", new)

    def delete_secret(self, number: str) -> None:
        """Forget it, if it is there."""
        self._delete(f"/account/secrets/{number}")
