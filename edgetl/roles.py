"""Who may see which validation picture: one fixed half chooses, the other half verifies.

The choosing half picks the head's penalty, the steps to keep, the temperature and the quantization; only the
verifying half, which nothing was fitted to, may say whether a promise is kept. Test serves the receipt alone.
"""

from collections import defaultdict
from collections.abc import Sequence

from edgetl_runtime.pictures import Picture


def halves(pictures: Sequence[Picture]) -> tuple[tuple[Picture, ...], tuple[Picture, ...]]:
    """Split into choosing and verifying pictures: in each set of labels, every other one by hash.

    The first of each set goes to the choosing half, so that no class is missing where choices are made; only
    sets with a single picture are halved together. Copies of a picture stay together.
    """
    groups: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for sha256, labels in sorted({one.sha256: one.labels for one in pictures}.items()):
        groups[labels].append(sha256)
    singles = [group[0] for group in groups.values() if len(group) == 1]
    several = [group for group in groups.values() if len(group) > 1]
    choosing = {sha256 for group in (*several, singles) for sha256 in group[::2]}
    return (
        tuple(one for one in pictures if one.sha256 in choosing),
        tuple(one for one in pictures if one.sha256 not in choosing),
    )
