"""A worker around Ultralytics itself, in the interpreter that trained: uvicorn ultralytics_app:app."""

import io
import os

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from PIL import Image
from ultralytics import YOLO

app, model = FastAPI(), YOLO(os.environ["PEER_CHECKPOINT"])


def answer(data: bytes) -> dict:
    """An image file's bytes → its label."""
    scores = model.predict(Image.open(io.BytesIO(data)).convert("RGB"), imgsz=64, device="cpu", verbose=False)[0].probs
    return {"label": str(scores.top1), "probability": float(scores.top1conf)}


@app.post("/predict")
async def predict(request: Request) -> dict:
    """An image file as the body."""
    return await run_in_threadpool(answer, await request.body())
