"""How often Python looks for garbage, in processes that are ours alone."""

import gc

# Python's own, 700 after 10 after 10, looks again and again through what torch and timm made when loaded.
_THRESHOLDS = 20_000, 20, 20


def collect_less() -> None:
    """Have Python look for garbage less often, from here to the end of the process."""
    gc.set_threshold(*_THRESHOLDS)
