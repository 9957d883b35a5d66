# What trains on a RunPod pod: the agent, the trainers `torch` and `yolo`, and torch's build for CUDA.
#
#   docker build --platform linux/amd64 -f docker/train.Dockerfile -t you/modelyard-train:0.1 .
#
# It holds no data and no key: both come with the launch (see docs/launchers.md).
FROM python:3.11-slim-bookworm AS build
COPY locks/torch.txt /tmp/torch.txt
RUN python -m venv /opt/modelyard \
 && /opt/modelyard/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r /tmp/torch.txt
COPY registry /opt/app/registry
COPY validation /opt/app/validation
COPY serving /opt/app/serving
COPY pipelines /opt/app/pipelines

FROM python:3.11-slim-bookworm
# What OpenCV opens when it is imported. hadolint's DL3008 wants versions, which Debian removes with each update.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --create-home modelyard && mkdir /workspace && chown modelyard /workspace
COPY --from=build /opt/modelyard /opt/modelyard
COPY --from=build /opt/app /opt/app
# A pod's port is reached through RunPod's proxy: inside the container it must listen on every address.
ENV PATH=/opt/modelyard/bin:$PATH PYTHONPATH=/opt/app PYTHONUNBUFFERED=1 \
    MODELYARD_POD_HOST=0.0.0.0 MODELYARD_POD_FOLDER=/workspace NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /workspace
USER 10001
EXPOSE 8000
ENTRYPOINT ["python", "-m", "pipelines.training.launchers.pod_main"]
