#!/usr/bin/env bash
# Make the environment of a peer: benchmarks/peers/make.sh train, modelapi, or ultralytics_cls.
set -euo pipefail
cd "$(dirname "$0")/../.."
declare -A packages=(
  [train]="--requirement benchmarks/peers/requirements.txt"
  [modelapi]="openvino-model-api==0.4.7 opencv-python-headless"
  [ultralytics_cls]="ultralytics==8.4.190 openvino"
)
name="${1:?name a peer: ${!packages[*]}}"
[ -x ".venv-peers/$name/bin/python" ] || .venv/bin/uv venv --quiet --python .venv/bin/python ".venv-peers/$name"
# shellcheck disable=SC2086  # a list of packages
.venv/bin/uv pip install --quiet --python ".venv-peers/$name/bin/python" ${packages[$name]}
