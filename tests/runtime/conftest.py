"""Lets the runtime's tests say `from runtime_factories import …` under `--import-mode=importlib`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
