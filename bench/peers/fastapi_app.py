"""Hand-written FastAPI, as most tutorials end: uvicorn fastapi_app:app --workers 2."""

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from shared import Model

app, model = FastAPI(), Model()


@app.post("/predict")
async def predict(request: Request) -> dict:
    """An image file as the body."""
    return await run_in_threadpool(model.predict, await request.body())
