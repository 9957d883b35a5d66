"""The labels in an answer of the server, whichever protocol it is in."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from serving.inference.outputs import most_likely


def labels_of(body: bytes) -> list[str] | None:
    """One label for each picture; None if the body is not one of our answers."""
    try:
        answer = msgspec.json.decode(body)
        if "label" in answer:
            return [str(answer["label"])]
        if "predictions" in answer:
            return [str(prediction["label"]) for prediction in answer["predictions"]]
        return _of_tensors(answer["outputs"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError):
        return None


def _of_tensors(outputs: list[dict[str, Any]]) -> list[str] | None:
    """Of the Open Inference Protocol: the labels if the answer has them, else the index of the highest probability."""
    named = {output["name"]: output for output in outputs}
    if "label" in named:
        return [str(label) for label in named["label"]["data"]]
    probabilities = named["probabilities"]
    width, data = int(probabilities["shape"][-1]), cast("list[float]", probabilities["data"])
    rows = [data[at : at + width] for at in range(0, len(data), width)]
    return [most_likely({str(index): probability for index, probability in enumerate(row)}) for row in rows]
