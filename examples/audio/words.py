"""A data set for spotting keywords: ten words in noise, as pictures. The speech is synthesised.

    python examples/audio/words.py OUT

Debian's packages espeak-ng and flite speak. A voice of espeak-ng is an accent and a variant; OUT/words has
train, val and test, and no variant of one is in another. OUT/others has voices of flite, another synthesiser,
made from recordings of speakers. Each word lies anywhere in its window, 10 dB above the noise.
"""

import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from spectrogram import LENGTH, read_sound, spectrogram

WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
ACCENTS = ("en-us", "en-gb-x-rp")
VARIANTS = {
    "train": "m1 m2 m3 m4 m5 m6 f1 f2 f3 adam Alex Andy Andrea belinda benjamin boris david ed edward john "
    "linda",
    "val": "m7 f4 caleb Annie max steph",
    "test": "m8 f5 Alicia Denis grandma grandpa Hugo iven Lee michel paul quincy",
}
FLITE, STRETCHES = ("awb", "kal16", "rms", "slt"), ("0.8", "1.0", "1.2")
_NOISE_DB = -10


def main() -> int:
    """Speak, draw and keep."""
    out = Path(sys.argv[1])
    jobs = [
        (
            ["espeak-ng", "-v", f"{accent}+{variant}", "-w"],
            out / "words" / split / word,
            f"{accent}-{variant}",
        )
        for split, variants in VARIANTS.items()
        for accent, variant, word in product(ACCENTS, variants.split(), WORDS)
    ]
    for voice, stretch, word in product(FLITE, STRETCHES, WORDS):
        engine = ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch}", "-o"]
        jobs.append((engine, out / "others" / word, f"{voice}-{stretch}"))
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda job: _keep(*job), jobs))
    print(f"{len(jobs)} pictures in {out}")
    return 0


def _keep(engine: list[str], folder: Path, name: str) -> None:
    with TemporaryDirectory() as place:
        sound = Path(place, "word.wav")
        word = ["-t", folder.name] if engine[0] == "flite" else [folder.name]
        subprocess.run([*engine, str(sound), *word], check=True, capture_output=True)
        window = placed(read_sound(sound), zlib.crc32(f"{folder.name} {name}".encode()))
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(spectrogram(window)).save(folder / f"{name}.png")


def placed(word: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Lay a word anywhere in a window of noise, the same for the same seed: (15,360,)."""
    generator = np.random.default_rng(seed)
    word = word[:LENGTH]
    loudness = float(np.sqrt(np.mean(word**2))) * 10 ** (_NOISE_DB / 20)
    window = generator.normal(0, loudness, LENGTH).astype(np.float32)
    start = int(generator.integers(0, LENGTH - len(word) + 1))
    window[start : start + len(word)] += word
    return window


if __name__ == "__main__":
    sys.exit(main())
