"""Say what a bundle hears in sounds, window by window: `python examples/audio/listen.py BUNDLE SOUND…`."""

import sys
from pathlib import Path

import numpy as np
from spectrogram import LENGTH, RATE, read_sound, spectrogram

from edgetl_runtime import Session

with Session.open(sys.argv[1]) as session:
    for path in sys.argv[2:]:
        sound = read_sound(Path(path))
        sound = np.pad(sound, (0, max(0, LENGTH - len(sound))))
        for start in range(0, len(sound) - LENGTH + 1, LENGTH // 4):
            found = session.predict(spectrogram(sound[start : start + LENGTH]))
            print(f"{path} {start / RATE:.2f} s {found.label} {found.confidence:.3f}")
