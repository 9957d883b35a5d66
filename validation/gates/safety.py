"""`safety`: nothing in the files can run code when it is opened, and nothing is there that has no business there."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from registry.records import Evidence, Finding, Record
from validation.gates.findings import missing_evidence

MODEL_FORMATS = (
    "mlmodel", ".yaml", ".yml", ".json", ".txt", ".md", ".toml", ".onnx", ".data", ".pt2", ".keras", ".h5", ".safetensors",
    ".csv", ".png", ".jpg", ".npy",
)  # fmt: skip
BUNDLE_FORMATS = (".onnx", ".json", ".bin", ".xml", ".md", ".txt", ".sig")


class SafetyGate(Record):
    """What a scanner reported of the registered files and, where `bundle` is asked for, of what will serve.

    The registered files may hold pickles without dangerous imports: PyTorch's `.pt2` keeps its example input in one, and
    nothing that serves opens it. The bundle may hold none at all.
    """

    kind: Literal["safety"] = "safety"
    bundle: bool = Field(default=True, description="whether the bundle must have been scanned, too")
    formats: tuple[str, ...] = Field(default=MODEL_FORMATS, description="file endings that the registered files may have")
    bundle_formats: tuple[str, ...] = Field(default=BUNDLE_FORMATS, description="file endings that the bundle may have")

    def judge(self, evidence: Evidence) -> list[Finding]:
        """Two findings for the registered files, three for the bundle."""
        findings = self._files(evidence, "model", self.formats)
        if self.bundle:
            findings += self._files(evidence, "bundle", self.bundle_formats)
            if (scan := evidence.scans.get("bundle")) is not None:
                findings.append(_none_of("bundle", "pickles", scan.pickles))
        return findings

    def _files(self, evidence: Evidence, what: str, allowed: tuple[str, ...]) -> list[Finding]:
        scan = evidence.scans.get(what)
        if scan is None or scan.files == 0:
            command = f"modelyard {'evaluate' if what == 'model' else 'export'} {evidence.label}"
            return [missing_evidence("safety", f"the {what} was not scanned: run `{command}`")]
        known = {ending.lower() for ending in allowed}
        strange = [f"{ending} ({count})" for ending, count in scan.formats.items() if ending.lower() not in known]
        return [
            _none_of(what, f"dangerous files ({scan.scanner})", scan.dangerous),
            _none_of(what, "unexpected formats", strange),
        ]


def _none_of(what: str, name: str, names: list[str]) -> Finding:
    """Passes when the list is empty."""
    listed = f": {', '.join(names[:5])}{' …' if len(names) > 5 else ''}" if names else ""  # noqa: PLR2004
    text = f"{what}: {len(names) or 'no'} {name}{listed}"
    return Finding(gate="safety", passed=not names, text=text, figure=len(names), limit=0)
