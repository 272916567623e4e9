"""The targets themselves, on sound and on damaged seeds: a fuzzer whose target is broken finds nothing."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from targets import TARGETS, seeds, write_seeds


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_takes_its_seeds_whole_and_damaged(target):
    rng = random.Random(0)
    found = seeds(target)
    assert found
    for data in (b"", *found[:20]):
        TARGETS[target](data)
        changed = bytearray(data)
        for _ in range(min(len(changed), 5)):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        TARGETS[target](bytes(changed))


def test_seeds_are_written_once(tmp_path):
    write_seeds("manifest", tmp_path / "corpus")
    (seed,) = (tmp_path / "corpus").iterdir()
    seed.write_bytes(b"grown")
    write_seeds("manifest", tmp_path / "corpus")
    assert [path.read_bytes() for path in (tmp_path / "corpus").iterdir()] == [b"grown"]
