# The HTTP worker: RunPod's load-balancing endpoints, Hugging Face's custom containers, or any other host of containers.
#
#   docker build --platform linux/amd64 -f docker/serve.Dockerfile -t you/modelyard-serve:0.1 .
#   … --build-arg LOCK=serve-cuda -t you/modelyard-serve:0.1-cuda .    for GPUs
#
# It starts without a model: MODELYARD_BUNDLE_URL and MODELYARD_BUNDLE say which one to fetch (see serving/container.py).
ARG LOCK=serve
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
ENV PYTHONPATH=/opt/app PYTHONUNBUFFERED=1 PORT=8000 NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /opt/app
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=3s --start-period=60s \
  CMD ["/opt/modelyard/bin/python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/ping\", timeout=2)"]
ENTRYPOINT ["/opt/modelyard/bin/python", "-P", "-m", "serving.container"]
