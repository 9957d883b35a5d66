"""What a job asks to be exported: the `export:` list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Self, cast

from pydantic import Discriminator, Field, Tag, model_validator

from registry.errors import InputError
from registry.records import ParityFigures, Record
from serving.bundle.variants import KNOWN, MAIN, VariantSpec, variant_spec

_KINDS = ("onnx", "tfjs", "litert", "transformersjs")


class _Export(Record):
    required: bool = Field(
        default=True, description="false: a variant that fails or answers too differently is left out, and blocks nothing"
    )
    top1_agreement: float | None = Field(default=None, ge=0, le=1, description="unless set, the variant's own limit")
    max_abs_diff: float | None = Field(default=None, gt=0, le=1, description="unless set, the variant's own limit")
    map_difference: float | None = Field(default=None, gt=0, le=1, description="for detectors; unless set, 0.01")

    @property
    def variant(self) -> str:
        """The name of the variant that is asked for."""
        raise NotImplementedError

    @property
    def wanted(self) -> VariantSpec:
        """The variant with its limits."""
        spec = variant_spec(self.variant, required=self.required)
        limits = self.model_dump(include={"top1_agreement", "max_abs_diff", "map_difference"}, exclude_none=True)
        return spec.model_copy(update={"limits": spec.limits.model_copy(update=limits)})


class OnnxExport(_Export):
    """ONNX for ONNX Runtime: the image in, preprocessing in the graph; or a finished tensor in."""

    kind: Literal["onnx"] = "onnx"
    quantize: Literal["float32", "float16", "int8"] = "float32"
    input: Literal["image", "tensor"] = "image"

    @model_validator(mode="after")
    def _is_made(self) -> Self:
        if self.input == "tensor" and self.quantize != "float32":
            raise ValueError("a tensor-input model is made in float32 only")
        return self

    @property
    def variant(self) -> str:
        """The name of the variant that is asked for."""
        return "onnx-tensor" if self.input == "tensor" else "onnx" if self.quantize == "float32" else f"onnx-{self.quantize}"


class TfjsExport(_Export):
    """A TensorFlow.js graph model for browsers."""

    kind: Literal["tfjs"] = "tfjs"
    quantize: Literal["float32", "float16", "uint8"] = "float16"

    @property
    def variant(self) -> str:
        """The name of the variant that is asked for."""
        return f"tfjs-{self.quantize}"


class LitertExport(_Export):
    """A LiteRT (TensorFlow Lite) file for phones, small boards, and LiteRT.js in browsers."""

    kind: Literal["litert"] = "litert"
    quantize: Literal["float32", "float16", "int8"] = "float16"

    @property
    def variant(self) -> str:
        """The name of the variant that is asked for."""
        return f"litert-{self.quantize}"


class TransformersExport(_Export):
    """ONNX with the files that Transformers.js looks for. Classifiers only."""

    kind: Literal["transformersjs"] = "transformersjs"
    quantize: Literal["float32", "float16", "int8"] = "float32"

    @property
    def variant(self) -> str:
        """The name of the variant that is asked for."""
        return "transformersjs" if self.quantize == "float32" else f"transformersjs-{self.quantize}"


class OtherExport(_Export):
    """An exporter of another package, found by its entry point. Classifiers only."""

    kind: str = Field(pattern=r"^[a-z][a-z0-9_]*$")

    @model_validator(mode="after")
    def _is_installed(self) -> Self:
        from serving.export.plugins import installed

        if self.kind not in (others := installed()):
            near = get_close_matches(self.kind, [*_KINDS, *others], n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join([*_KINDS, *others])}"
            raise ValueError(f"no exporter '{self.kind}' ({hint})")
        return self

    @property
    def variant(self) -> str:
        """The name of the variant that is asked for."""
        return self.kind


def _kind_of(value: Any) -> str:
    kind: object = (
        cast("dict[str, object]", value).get("kind", "onnx") if isinstance(value, dict) else getattr(value, "kind", None)
    )
    return str(kind) if kind in _KINDS else "other"


ExportConfig = Annotated[
    Annotated[OnnxExport, Tag("onnx")]
    | Annotated[TfjsExport, Tag("tfjs")]
    | Annotated[LitertExport, Tag("litert")]
    | Annotated[TransformersExport, Tag("transformersjs")]
    | Annotated[OtherExport, Tag("other")],
    Discriminator(_kind_of),
]


def variant_specs(exports: Iterable[_Export], names: Sequence[str] = ()) -> list[VariantSpec]:
    """The variants of a job, and those that were asked for by name, which are required; the main one is always there."""
    specs = {MAIN.name: variant_spec(MAIN.name)} | {spec.variant: spec.wanted for spec in exports}
    asked = [each for name in names for each in variants_named(name)]
    for name in asked:
        specs.setdefault(name, variant_spec(name))
    required = {MAIN.name, *asked}  # the main one is what serves
    return [spec.model_copy(update={"required": True}) if name in required else spec for name, spec in specs.items()]


def settled(parity: Iterable[ParityFigures], wanted: Iterable[VariantSpec]) -> bool:
    """Whether each variant was judged by these limits. One that could not be made counts, unless it is required now."""
    judged = {spec.variant: spec for spec in parity if spec.limits is not None}
    pairs = [(spec, judged.get(spec.variant.name)) for spec in wanted]
    return all(then and then.limits == spec.limits and (then.made or not spec.required) for spec, then in pairs)


def with_kept(wanted: Sequence[VariantSpec], parity: Iterable[ParityFigures]) -> list[VariantSpec]:
    """What is wanted, and what an earlier bundle of the same bytes holds beyond that; it is not required any more."""
    names = {figures.variant.name for figures in wanted}
    kept = [figures for figures in parity if figures.kept and figures.variant not in names]
    return [*wanted, *(variant_spec(figures.variant, figures.limits, required=False) for figures in kept)]


def variants_named(name: str) -> list[str]:
    """What `--variant` asks for: a variant of ours or of an installed exporter, or every precision of `tfjs` or `litert`."""
    if name in KNOWN:
        return [name]
    if precisions := [variant.name for variant in KNOWN.values() if variant.runtime == name]:
        return precisions
    from serving.export.plugins import installed

    if name not in (others := installed()):
        known = ", ".join([*KNOWN, "tfjs", "litert", *others])
        raise InputError(f"variant '{name}'", f"expected one of {known}", "correct --variant")
    return [name]
