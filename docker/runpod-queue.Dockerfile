# The queue worker for RunPod Serverless, on the official SDK.
#
#   docker build -f docker/runpod-queue.Dockerfile -t you/modelyard-queue:0.1 .
#
# It starts without a model: MODELYARD_BUNDLE_URL and MODELYARD_BUNDLE say which one to fetch (see serving/container.py).
FROM python:3.11-slim-bookworm AS build
COPY locks/serve-runpod.txt /tmp/serve.txt
RUN python -m venv /opt/modelyard \
 && /opt/modelyard/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r /tmp/serve.txt
COPY registry /opt/app/registry
COPY serving /opt/app/serving
RUN /opt/modelyard/bin/python -m compileall -q /opt/app /opt/modelyard

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --no-create-home modelyard
COPY --from=build /opt/modelyard /opt/modelyard
COPY --from=build /opt/app /opt/app
ENV PYTHONPATH=/opt/app PYTHONUNBUFFERED=1
WORKDIR /tmp
USER 10001
ENTRYPOINT ["/opt/modelyard/bin/python", "-P", "-m", "serving.runpod_worker"]
