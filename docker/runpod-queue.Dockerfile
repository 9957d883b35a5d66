# The queue worker for RunPod Serverless, on the official SDK.
#
#   docker build --platform linux/amd64 -f docker/runpod-queue.Dockerfile -t you/modelyard-queue:0.1 .
#   … --build-arg LOCK=serve-runpod-cuda -t you/modelyard-queue:0.1-cuda .    for GPUs
#
# It starts without a model: MODELYARD_BUNDLE_URL and MODELYARD_BUNDLE say which one to fetch (see serving/container.py).
ARG LOCK=serve-runpod
FROM python:3.11-slim-bookworm AS build
ARG LOCK
COPY locks/${LOCK}.txt /tmp/serve.txt
RUN python -m venv /opt/modelyard \
 && /opt/modelyard/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r /tmp/serve.txt
COPY registry /opt/app/registry
COPY serving /opt/app/serving
RUN /opt/modelyard/bin/python -m compileall -q /opt/app /opt/modelyard

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --no-create-home modelyard
COPY --from=build /opt/modelyard /opt/modelyard
COPY --from=build /opt/app /opt/app
# RunPod's SDK asks for 4 GB of free memory before it starts, which its smallest machine has not.
ENV PYTHONPATH=/opt/app PYTHONUNBUFFERED=1 RUNPOD_MIN_MEMORY_GB=1 NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /tmp
USER 10001
ENTRYPOINT ["/opt/modelyard/bin/python", "-P", "-m", "serving.runpod_worker"]
