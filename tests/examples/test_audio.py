"""Sounds as pictures: a tone lies where its pitch and time are, and the data set is the same again."""

import sys

import numpy as np
import pytest

pytest.importorskip("miniaudio")


@pytest.fixture
def audio(example, monkeypatch):
    """Load the example's files as Python does when one of them is the program."""
    spectrogram = example("audio/spectrogram.py")
    monkeypatch.setitem(sys.modules, "spectrogram", spectrogram)
    return spectrogram, example("audio/words.py")


def tone(hertz: float, length: int, rate: int) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(length) / rate).astype(np.float32)


def test_a_tone_is_a_line_and_the_higher_the_higher(audio):
    spectrogram, _ = audio
    rows = []
    for hertz in (300, 1_000, 4_000):
        picture = spectrogram.spectrogram(tone(hertz, spectrogram.LENGTH, spectrogram.RATE))
        assert (picture.shape, picture.dtype) == ((128, 128, 3), np.uint8)
        brightest = picture[:, 8:-8, 0].argmax(axis=0)
        assert np.ptp(brightest) <= 1
        rows.append(int(brightest[0]))
    assert rows == sorted(rows, reverse=True)


def test_time_goes_from_left_to_right(audio):
    spectrogram, _ = audio
    window = np.zeros(spectrogram.LENGTH, np.float32)
    window[-4_000:] = tone(1_000, 4_000, spectrogram.RATE)
    bright = np.flatnonzero(spectrogram.spectrogram(window).max(axis=(0, 2)) > 200)
    assert (bright.min() > 90, bright.max()) == (True, 127)


def test_silence_is_a_picture_too(audio):
    spectrogram, _ = audio
    assert spectrogram.spectrogram(np.zeros(spectrogram.LENGTH, np.float32)).max() <= 255


def test_a_word_lies_anywhere_in_noise_and_the_same_again(audio):
    spectrogram, words = audio
    word = tone(500, 4_000, spectrogram.RATE)
    one, again, other = (words.placed(word, seed) for seed in (1, 1, 2))
    assert len(one) == spectrogram.LENGTH
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    quiet = np.sort(np.abs(one).reshape(-1, 96).mean(axis=1))[:60]
    assert 0.1 < quiet.mean() < 0.3  # the noise is 10 dB below the word's 0.71


def test_no_voice_of_one_split_is_in_another(audio):
    _, words = audio
    voices = [name for split in words.VARIANTS.values() for name in split.split()]
    assert len(voices) == len(set(voices))
