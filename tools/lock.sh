#!/usr/bin/env bash
# Solve the locks again: hashes, no host. Run it after changing pyproject.toml or locks/*.in.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { # OUTPUT ARGS...
  local out=$1; shift
  uv pip compile --quiet --generate-hashes --no-header --no-emit-index-url --no-emit-find-links \
    --python-version 3.11 --output-file "$out" "$@"
}
compile locks/torch.txt pyproject.toml --group dev --constraint locks/torch.in \
  --extra torch --extra yolo --extra openvino --extra dashboards --extra auth --extra labels --extra postgresql --extra runpod --extra huggingface --extra ray --extra transformers
compile locks/tensorflow.txt locks/tensorflow.in
compile locks/tensorflow-nodeps.txt --no-deps locks/tensorflow-nodeps.in
compile locks/peers.txt locks/peers.in
compile locks/serve.txt locks/serve.in --constraint locks/torch.txt
compile locks/serve-cuda.txt locks/serve-cuda.in --constraint locks/torch.txt
compile locks/serve-runpod.txt locks/serve-runpod.in --constraint locks/torch.txt
compile locks/serve-runpod-cuda.txt locks/serve-runpod-cuda.in --constraint locks/torch.txt
compile locks/uv.txt locks/uv.in
