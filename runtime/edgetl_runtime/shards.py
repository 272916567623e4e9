"""Which pictures the tars of WebDataset name, and how: by key and label, in shards. Opens no picture.

A sample is what shares a key: the path in the tar up to the first dot of the base name. `cat/0001.jpg` is its
picture, `cat/0001.cls` its class as a whole number; or `cat/0001.json` has its "label": a name, a number, or
a list for several. Whatever else a sample has is ignored.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import product
from os.path import commonpath
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from edgetl_runtime import sample
from edgetl_runtime.errors import DatasetError
from edgetl_runtime.row import (
    SPLITS,
    Listing,
    Row,
    Split,
    Unreadable,
    is_junk,
    is_named_as_picture,
    untrained,
)
from edgetl_runtime.sample import Named, Sample
from edgetl_runtime.tars import COMPRESSED, SUFFIX, entries, normal, refusal_of_compressed

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MOST_SHARDS = 1_000_000
_SHOWN = 5


class Shard(NamedTuple):
    """A tar and the split that its name tells."""

    path: Path
    split: Split | None


def find_shards(root: Path) -> list[Path]:
    """Find the tars in a folder and in its folders train, val and test.

    Raises:
        DatasetError: pictures lie there as files, too; or only tars that are compressed.
    """
    below = [one for one in sorted(root.iterdir()) if one.is_dir() and not is_junk(one.name)]
    files = [one for home in (root, *_of_splits(below)) for one in sorted(home.iterdir()) if one.is_file()]
    shards = [one for one in files if one.suffix.lower() == SUFFIX and not is_junk(one.name)]
    packed = [one for one in files if one.name.lower().endswith(COMPRESSED)]
    if shards and (loose := _loose(root)):
        raise DatasetError(
            f"{root} has tars such as {shards[0].name!r} beside pictures such as "
            f"{str(loose.relative_to(root))!r}: which are meant? Name a tar itself, or move the tars or the "
            "pictures elsewhere."
        )
    if packed and (shards or not below):
        raise refusal_of_compressed(packed[0], packed[0].suffix)
    return shards


def is_pattern(path: Path) -> bool:
    """Tell whether a path names shards in braces, such as `train-{000..009}.tar`."""
    return bool(_BRACES.search(str(path))) and path.suffix.lower() == SUFFIX


def expand(pattern: Path) -> list[Path]:
    """Return the shards that a pattern names: `{000..009}` counts, `{a,b}` chooses.

    Raises:
        DatasetError: some of them are not there.
    """
    parts = _BRACES.split(str(pattern))
    choices = [_choices(pattern, part) if i % 2 else [part] for i, part in enumerate(parts)]
    paths = [Path("".join(chosen)) for chosen in product(*choices)]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise DatasetError(
            f"{pattern} names {len(paths):,} tars, and {len(missing):,} are not there, such as {missing[0]}. "
            "Copy them there, or correct the numbers in braces."
        )
    return paths


def list_shards(root: Path | None, paths: Sequence[Path]) -> Listing:
    """List the pictures of some tars.

    Args:
        root: the dataset's folder; None is the one that all tars lie in.

    Raises:
        DatasetError: a tar is compressed, damaged or without pictures; splits or names of classes make no
            sense.
    """
    home = root or Path(commonpath([path.parent for path in paths]))
    shards = [Shard(path, _split_of(path, home)) for path in paths]
    _refuse_half_split(shards)
    named = _list_all(shards, sample.read_class_names(home))
    rows = tuple(one.found for one in named if isinstance(one.found, Row))
    if lacking := untrained(rows):
        raise DatasetError(
            f"{home}: the classes {lacking} are in the shards of val or test and not in those of train. "
            "Add some there."
        )
    unusable = tuple(one.found for one in named if isinstance(one.found, Unreadable))
    several = any(one.several for one in named)
    return Listing(home, "multi_label" if several else "single_label", rows, unusable)


def _list_all(shards: Sequence[Shard], names: Sequence[str]) -> list[Named]:
    """List every shard, and name all those that are damaged at once."""
    found, damaged = list[Named](), list[str]()
    for shard in shards:
        try:
            found += _list_shard(shard, names)
        except DatasetError as error:
            damaged.append(str(error))
    if damaged:
        more = f"\nand {len(damaged) - _SHOWN:,} more tars" if len(damaged) > _SHOWN else ""
        raise DatasetError("\n".join(damaged[:_SHOWN]) + more)
    return found


def _list_shard(shard: Shard, names: Sequence[str]) -> Iterator[Named]:
    samples: dict[str, Sample] = defaultdict(list)
    for entry in entries(shard.path):
        name = PurePosixPath(normal(entry.name))
        key, _, field = name.name.partition(".")
        if key and not any(is_junk(part) for part in name.parts):
            samples[str(name.with_name(key))].append((field.lower(), entry))
    if not any(sample.pictures(one) for one in samples.values()):
        raise DatasetError(
            f"{shard.path} has no picture. WebDataset's samples are a picture KEY.jpg, or another of "
            'its kinds, and KEY.cls or KEY.json with its "label".'
        )
    with shard.path.open("rb") as file:
        for key, fields in samples.items():
            yield from sample.named(shard.path, shard.split, (key, fields), (file, names))


def _of_splits(folders: Sequence[Path]) -> list[Path]:
    return [one for one in folders if one.name.lower() in SPLITS]


def _loose(root: Path) -> Path | None:
    """Return a picture that lies in a folder as a file."""
    below = (one for one in root.rglob("*") if not any(map(is_junk, one.relative_to(root).parts)))
    return next((one for one in below if is_named_as_picture(one) and one.is_file()), None)


def _choices(pattern: Path, inside: str) -> list[str]:
    numbers = _RANGE.fullmatch(inside)
    if numbers is None:
        return inside.split(",")
    first, last = numbers.groups()
    if not 0 <= int(last) - int(first) < _MOST_SHARDS:
        raise DatasetError(f"{pattern}: {{{inside}}} must count upwards, at most {_MOST_SHARDS:,} tars.")
    width = len(first) if first.startswith("0") else 0
    return [f"{number:0{width}}" for number in range(int(first), int(last) + 1)]


def _split_of(shard: Path, home: Path) -> Split | None:
    """Read the split off the folders below the dataset's and off the words of the shard's name."""
    *folders, name = shard.relative_to(home).parts
    words = [*(one.lower() for one in folders), *re.split(r"[^a-z]+", Path(name).stem.lower())]
    told = {SPLITS[word] for word in words if word in SPLITS}
    if len(told) > 1:
        raise DatasetError(f"{shard} names the splits {sorted(told)}. Name a shard after one of them.")
    return told.pop() if told else None


def _refuse_half_split(shards: Sequence[Shard]) -> None:
    without = [one.path for one in shards if one.split is None]
    if 0 < len(without) < len(shards):
        raise DatasetError(
            f"{without[0]} names no split while other shards do. Give all of them a name or folder with "
            "train, val or test in it, or none."
        )
