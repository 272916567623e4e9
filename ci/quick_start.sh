# A quick start on pictures made on the spot, in the folder where it is called, by whatever edgetl the PATH has.
# `workstation` leaves photos, run, bundle and int8.json; `device` needs them, and runs the bundle without torch.
case $1 in
  workstation)
    rm -rf photos run bundle int8.json
    python - << 'PYTHON'
from pathlib import Path

import numpy as np
from PIL import Image

for channel, name in enumerate(("red", "green")):
    for number in range(20):
        pixels = np.random.default_rng(100 * channel + number).integers(0, 60, (64, 64, 3))
        pixels[..., channel] += 150
        Path("photos", name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(f"photos/{name}/{number}.png")
PYTHON
    edgetl train photos --out run --size 32 --unfreeze 0
    edgetl export run --out bundle
    edgetl validate bundle photos --split all --variant openvino-int8 --out int8.json
    ;;
  device)
    rm -f device.json
    ! python -c "import torch" 2> /dev/null || { echo "error: torch came along" >&2; exit 1; }
    edgetl-runtime doctor bundle
    edgetl-runtime predict bundle photos/red/0.png
    edgetl-runtime validate bundle photos --split all --variant openvino-int8 --out device.json
    edgetl-runtime check int8.json device.json --margin 10pp
    ;;
esac
