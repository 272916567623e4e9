"""From a sound to a picture: a log-mel spectrogram, time from left to right, low tones at the bottom.

Decoding is miniaudio's (WAV, FLAC, MP3, Ogg Vorbis); the rest is numpy. A device runs the same lines before
`Session.predict`: the picture is the contract between the sound and the model.
"""

from pathlib import Path

import miniaudio
import numpy as np
from numpy.typing import NDArray

RATE = 16_000  # samples a second; speech has little above half of it
LENGTH = 15_360  # of the window that a picture shows, 0.96 s
_FRAME, _STEP, _BANDS = 400, 120, 128  # 25 ms, each 7.5 ms further: as wide as high
_LOWEST_HZ, _FLOOR_DB = 60.0, -60.0


def read_sound(path: Path) -> NDArray[np.float32]:
    """Decode a file to one channel at 16,000 samples a second: (n,), -1 to 1."""
    kind = miniaudio.SampleFormat.FLOAT32
    decoded = miniaudio.decode_file(str(path), output_format=kind, nchannels=1, sample_rate=RATE)
    return np.asarray(decoded.samples, np.float32)


def spectrogram(window: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draw 0.96 seconds of sound.

    Args:
        window: (15,360,), at 16,000 a second.

    Returns:
        (128, 128, 3) uint8, grey: white is the loudest tone, black 60 dB below it and less.
    """
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(window, (_FRAME - _STEP, 0)), _FRAME)[::_STEP]
    power = np.abs(np.fft.rfft(frames * np.hanning(_FRAME), 2 * _FRAME)) ** 2
    bands = power @ _filters(power.shape[1]).T
    decibels = 10 * np.log10(bands / max(float(bands.max()), 1e-12) + 1e-12)
    grey = np.rint(255 * (1 - (decibels / _FLOOR_DB).clip(0, 1))).astype(np.uint8)
    return np.repeat(grey.T[::-1, :, np.newaxis], 3, axis=2)


def _filters(bins: int) -> NDArray[np.float64]:
    """Return triangles that are equally wide on the mel scale: (bands, bins)."""
    edges = _hertz(np.linspace(_mel(_LOWEST_HZ), _mel(RATE / 2), _BANDS + 2))
    hertz = np.linspace(0, RATE / 2, bins)
    left, middle, right = edges[:-2, np.newaxis], edges[1:-1, np.newaxis], edges[2:, np.newaxis]
    return np.minimum((hertz - left) / (middle - left), (right - hertz) / (right - middle)).clip(0)


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return 700 * (10 ** (mel / 2595) - 1)
