"""What was taught in the page of `modelyard web`: a head, put on the network of the bundle that it was taught with.

The network is not in the file: the home that exported the bundle has it. Whether it is the network that the page saw is
asked of the page's own answers, which are in the file beside their pictures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from pipelines.bundles.store import open_exported
from pipelines.data.dataset import DataSet
from pipelines.data.importing import taught
from pipelines.data.importing.archive import unpacked
from pipelines.data.importing.listing import Listing
from pipelines.data.importing.look import list_unwrapped
from pipelines.training.foreign.contract import About, Scores
from pipelines.training.foreign.onnx_model import OnnxModel
from pipelines.training.foreign.options import KNOWN
from pipelines.training.foreign.taught_network import cut_network, width_of, with_head
from registry.digests import sha256_file
from registry.errors import InputError, IntegrityError, NotFoundError, shorten
from registry.events import Exported
from registry.protocols import Ledger
from serving.bundle.bundle import Bundle

BundleOf = Callable[[taught.Base, object], Bundle]
"""The bundle that something was taught with, by its digest; the other argument is what errors call the file."""
MOST_DIFFERENCE, MOST_OF_BYTES = 0.1, 0.25
"""Of scores, see `score_difference`; the latter where the page had a network in 8-bit weights only.

Measured in Chromium on three networks with clear and with hopeless classes: 1e-5 from TF.js in float32, 0.009 in float16,
0.2 in uint8. A decoder that differs by one grey level in every pixel makes 0.08 of it. Another picture's answers are from
0.27 on, a head of one and a half times the weights 0.28.
"""
_LEAST = 1e-6
_FLOATS = {"tfjs-float32", "tfjs-float16"}
_MOST_CHECKS, _LONGEST = 1_000, 400


@dataclass(frozen=True)
class TaughtModel:
    """A file from the page, opened.

    `files` are pictures that the page answered, and `answers` are those, in the data set's order; `most` is how far ours may
    be from them.
    """

    model: OnnxModel
    about: About
    files: list[Path]
    answers: Scores
    most: float
    params: dict[str, str]

    def compare(self, ours: Scores, subject: object) -> str:
        """Hold our answers for the same pictures to the page's; the control is each next picture's answer.

        Raises IntegrityError for what is not what was taught.
        """
        difference, control = (score_difference(ours, theirs) for theirs in (self.answers, np.roll(self.answers, 1, axis=0)))
        agreement = float((ours.argmax(1) == self.answers.argmax(1)).mean())
        if difference > self.most:
            why = f"answers otherwise here than in the page (agreement {agreement:.3f}, scores differ by {difference:.2g})"
            raise IntegrityError(subject, why, "export it again from the page, with the bundle that it shows now")
        return (
            f"it answers as in the page on {len(ours)} pictures: agreement {agreement:.3f}, scores differ by {difference:.1e} "
            f"(from another picture's: {control:.1e})"
        )


def score_difference(ours: Scores, theirs: Scores) -> float:
    """How far probabilities `[N, classes]` are from others, as a share of what these say: 0 for the same, about 1 for nothing.

    It is the root mean square of log-probabilities. Probabilities near 0 and 1 hide another head, and one near 1/2 is far off
    for a bit that a feature lost, so that no bound for them would be right for both.
    """
    mine, others = _scores(ours), _scores(theirs)
    return float(np.sqrt(np.mean((mine - others) ** 2) / max(float(np.mean(others**2)), _LEAST)))


def _scores(probabilities: Scores) -> NDArray[np.float64]:
    """Log-probabilities around 0; below one in a million they are noise."""
    logs = np.log(np.maximum(probabilities.astype(np.float64), _LEAST))
    return logs - logs.mean(axis=1, keepdims=True)


@contextmanager
def opened_taught(path: Path, work: Path, data: DataSet, bundles: BundleOf, subject: object) -> Generator[TaughtModel]:
    """Open a file from the page; its pictures lie in a temporary folder until the block ends.

    Raises InputError for a damaged file, one of other classes than the data set's, or one whose bundle is not here.
    """
    with unpacked(path) as (folder, _):
        listing = list_unwrapped(folder)
        document = taught.read_document(listing.root / taught.DOCUMENT, subject)
        kernel, bias, answers = _in_order_of(data, document, subject)
        bundle = bundles(document.base, subject)
        cut = cut_network(bundle, subject)
        if (width := width_of(cut, subject)) != len(kernel):
            what = f"has a head for {len(kernel)} features, and {document.base.model}/{document.base.version} gives {width}"
            raise InputError(subject, what, "export it again from the page of that version")
        base = re.sub(r"[^\w-]", "-", bundle.index.model)  # MLflow names a run's model so, and takes no point
        file = work / f"{base}-{bundle.index.version}-taught.onnx"
        onnx.save(with_head(cut, kernel, bias), file)
        layout = "nchw" if bundle.preprocess.layout == "NCHW" else "nhwc"
        model = OnnxModel(file, layout, subject)
        # A browser decodes whole images, so the head was taught on them, whatever its base was trained on.
        preprocess = replace(bundle.preprocess, layout="NCHW", decode="full")
        about = replace(
            model.about, trainer="taught", size=None, preprocess=preprocess, normalise=KNOWN["0..1"], labels=_labels(data)
        )
        files = _pictures([check.file for check in document.checks[:_MOST_CHECKS]], listing, subject)
        params = _params(document, bundle) | _trained_on(document, listing, data, subject)
        most = MOST_DIFFERENCE if _FLOATS & bundle.variants.keys() else MOST_OF_BYTES
        yield TaughtModel(model, about, files, answers[: len(files)], most, params)


def bundle_of(ledger: Ledger, base: taught.Base, subject: object) -> Bundle:
    """The bundle that something was taught with. Raises NotFoundError where this home does not have it."""
    name, remedy = shorten(f"{base.model}/{base.version}", 80), "register it in the home that exported that version"
    for row in ledger.entries(base.model):
        if isinstance(row.event, Exported) and row.flaw is None and row.event.bundle == base.bundle:
            if Path(row.event.path).is_dir():
                return open_exported(row.event)
            remedy = f"export {name} again, and if its bundle is another one then, teach it again"
    raise NotFoundError(subject, f"was taught with {name} (bundle {base.bundle[:12]}), which is not in this home", remedy)


def _labels(data: DataSet) -> tuple[str, ...]:
    return tuple(data.manifest.labels)


def _in_order_of(data: DataSet, document: taught.Taught, subject: object) -> tuple[Scores, Scores, Scores]:
    """Kernel, bias and the page's answers with the data set's classes in its order. Raises InputError for other classes."""
    ours, theirs = data.manifest.labels, document.labels
    if sorted(ours) != sorted(theirs):
        why = f"was taught {shorten(', '.join(theirs), 120)}, the data set has {shorten(', '.join(ours), 120)}"
        raise InputError(subject, why, "import the same file first, under the same name: `modelyard import`")
    order = [theirs.index(label) for label in ours]
    kernel = np.asarray(document.head.kernel, np.float32).reshape(-1, len(theirs))
    answers = np.asarray([check.probabilities for check in document.checks], np.float32)
    return kernel[:, order], np.asarray(document.head.bias, np.float32)[order], answers[:, order]


def _pictures(names: Sequence[str], listing: Listing, subject: object) -> list[Path]:
    """The files of pictures that the document names. Raises InputError for one that the archive does not have."""
    known = set(listing.files)
    for name in names:
        if Path(name) not in known:
            raise InputError(subject, f"names '{shorten(name, 120)}', which is not in it", "export it again from the page")
    return [listing.root / name for name in names]


def _params(document: taught.Taught, bundle: Bundle) -> dict[str, str]:
    """Where it comes from, for its run."""
    training, base = document.training, bundle.index
    accuracy = "not measured: no take was held out" if training.accuracy is None else f"{training.accuracy:.4f}"
    return {
        "base": f"{base.model}/{base.version}",
        "base_bundle": base.digest,
        "base_model_digest": base.model_digest,
        "page_accuracy": accuracy,
        "page_held_out": shorten(", ".join(training.held_out) or "none", _LONGEST),
        "page_images": str(len(document.images)),
        "page_loss": f"{training.losses[-1]:.4g}" if training.losses else "not said",
    }


def _trained_on(document: taught.Taught, listing: Listing, data: DataSet, subject: object) -> dict[str, str]:
    """How much of the test split the page trained on: splits are dealt here, and the page had held out takes of its own."""
    held_out = set(document.training.held_out)
    names = [image.file for image in document.images if image.take not in held_out]
    seen = {sha256_file(file) for file in _pictures(names, listing, subject)}
    rows = data.rows("test")
    return {"test_trained_on": f"{sum(row.sha256 in seen for row in rows)} of {len(rows)}"}
