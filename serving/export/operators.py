"""ONNX operators that TF.js cannot run, so that a network is rejected before TensorFlow starts.

Both lists were measured with onnx2tf 1.28.8, TensorFlow 2.19, tensorflowjs 4.22 and TF.js' wasm backend in Node: each
operator that onnx2tf has a converter for was put into a network of its own, converted, and run. An operator that is on
neither list may still fail in a network that uses it otherwise. Then the converter's words name it, and where it answers
differently, parity notices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnx import NodeProto

_NO_CONVERTER = """
AffineGrid Attention BitCast BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow CastLike CausalConvWithState
CenterCropPad CumProd DFT DeformConv GroupNormalization ImageDecoder LinearAttention LpPool MaxRoiPool
NegativeLogLikelihoodLoss Optional RMSNormalization RegexFullMatch RotaryEmbedding SequenceMap SoftmaxCrossEntropyLoss
StringConcat StringSplit SwiGLU Swish TensorScatter TfIdfVectorizer
"""
_NOT_RUNNING = """
Bernoulli BitShift Col2Im Compress ConvTranspose Det Einsum GRU Gelu Inverse IsInf LSTM MaxUnpool NonZero RNN
RandomNormalLike Shrink Softsign SpaceToDepth Unique
"""
NO_CONVERTER = frozenset(_NO_CONVERTER.split())
"""Operators of ONNX that onnx2tf has no file for in its folder `ops`."""
NOT_RUNNING = frozenset(_NOT_RUNNING.split())
"""Operators that onnx2tf could not convert where the batch is free, or that become what TF.js has no kernel for."""
_CONTROL_FLOW = frozenset({"If", "Loop", "Scan"})


def control_flow(nodes: Iterable[NodeProto]) -> list[str]:
    """The control-flow operators."""
    return sorted({node.op_type for node in nodes} & _CONTROL_FLOW)


def unfit_for_tensorflow(nodes: Iterable[NodeProto], runtime: str) -> list[str]:
    """The operators that cannot become TF.js (`tfjs`) or LiteRT (`litert`), sorted.

    What TF.js cannot run was not measured for LiteRT, so that is left to the converter, which names what it lacks.
    """
    refused = NO_CONVERTER | NOT_RUNNING if runtime == "tfjs" else NO_CONVERTER
    return sorted({name for node in nodes if (name := _unfit(node, refused))})


def _unfit(node: NodeProto, refused: frozenset[str]) -> str:
    if node.domain not in {"", "ai.onnx"}:
        return f"{node.domain}.{node.op_type}"
    if node.op_type == "Resize":
        modes = {attribute.s.decode() for attribute in node.attribute if attribute.name == "mode"}
        return "cubic Resize" if "cubic" in modes else ""
    return node.op_type if node.op_type in refused else ""
