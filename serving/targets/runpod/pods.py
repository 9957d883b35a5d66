"""RunPod's pods over REST v2: machines by the second, one GPU type each, and the secrets that they read."""

from __future__ import annotations

from datetime import UTC, datetime

from serving.targets.runpod.pod_shapes import (
    NewPod,
    NewSecret,
    Pod,
    PodAction,
    PodActionRequest,
    PodBill,
    PodChanges,
    PodGpuType,
    Secret,
)
from serving.targets.runpod.transport import RunPodTransport
from serving.targets.runpod.volume_shapes import DataCenter, NetworkVolume, NewNetworkVolume, VolumeSize

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

    def change_pod(self, number: str, changes: PodChanges) -> Pod:
        """Change the given fields only; the container starts again where it sees the change, and loses its disk."""
        return self._one(Pod, "PATCH", f"/pods/{number}", changes)

    def act_on_pod(self, number: str, action: PodAction) -> None:
        """Start, stop, restart or terminate it. Raises BusyError where its status does not allow that now."""
        self._send("POST", f"/pods/{number}/action", body=PodActionRequest(action=action))

    def pod_logs(self, number: str, lines: int) -> list[str]:
        """The newest lines of its container and of its host, from a stream of server-sent events."""
        return self._events(f"/pods/{number}/logs", {"tail": lines}, lines)

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
        """Where pods and network volumes can be, with the stock of each GPU there."""
        return self._many(DataCenter, "/catalog/datacenters", "dataCenters", {"include": "GPU_AVAILABILITY"})

    def volumes(self) -> list[NetworkVolume]:
        """The account's network volumes, each billed until it is deleted."""
        return self._many(NetworkVolume, "/network-volumes", "networkVolumes")

    def create_volume(self, new: NewNetworkVolume) -> NetworkVolume:
        """Create a network volume, which is billed from then on. Raises LostReplyError if it may or may not exist now."""
        return self._one(NetworkVolume, "POST", "/network-volumes", new)

    def grow_volume(self, number: str, size: int) -> NetworkVolume:
        """Make it larger, in GB. Raises UnmetError for a smaller size."""
        return self._one(NetworkVolume, "PATCH", f"/network-volumes/{number}", VolumeSize(size=size))

    def delete_volume(self, number: str) -> None:
        """Delete it with what it holds, if it exists."""
        self._delete(f"/network-volumes/{number}")

    def secrets(self) -> list[Secret]:
        """The account's secrets, without their values."""
        return self._many(Secret, "/account/secrets", "secrets")

    def create_secret(self, new: NewSecret) -> Secret:
        """Keep a secret. Raises BusyError where the name is taken, LostReplyError if it may or may not be kept now."""
        return self._one(Secret, "POST", "/account/secrets", new)

    def delete_secret(self, number: str) -> None:
        """Forget it, if it is there."""
        self._delete(f"/account/secrets/{number}")
