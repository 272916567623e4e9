#!/usr/bin/env bash
# Make the environments of peers: benchmarks/peers/make.sh [train] [modelapi] [ultralytics_cls]; default: those of
# `make bench`, modelapi and ultralytics_cls. Each has its own, below .venv-peers, and nothing of edgetl.
# ultralytics is AGPL-3.0: a program that we measure, never a dependency. PYTHON and UV name others than .venv's.
set -euo pipefail
cd "$(dirname "$0")/../.."
declare -A packages=(
  [train]="--requirement benchmarks/peers/requirements.txt"
  [modelapi]="openvino-model-api==0.4.7 opencv-python-headless openvino==2026.4.1"
  [ultralytics_cls]="ultralytics==8.4.190 openvino==2026.4.1 torch==2.15.0 torchvision==0.29.2"
)
uv="${UV:-.venv/bin/uv}" python="${PYTHON:-.venv/bin/python}"
[ $# -gt 0 ] || set -- modelapi ultralytics_cls
for name in "$@"; do
  [ -n "${packages[$name]:-}" ] || { echo "error: no peer $name; there are: ${!packages[*]}" >&2; exit 2; }
  [ -x ".venv-peers/$name/bin/python" ] || "$uv" venv --quiet --python "$python" ".venv-peers/$name"
  # shellcheck disable=SC2086  # a list of packages
  "$uv" pip install --quiet --python ".venv-peers/$name/bin/python" ${packages[$name]}
done
