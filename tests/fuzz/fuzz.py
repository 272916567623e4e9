"""Fuzz one target with atheris: python tests/fuzz/fuzz.py TARGET [CORPUS] [options of libFuzzer]

README.md says how to install it, and what to do with a finding.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["edgetl_runtime"]):
    from targets import TARGETS, write_seeds

if __name__ == "__main__":
    target = sys.argv[1] if len(sys.argv) > 1 else ""
    if target not in TARGETS:
        sys.exit(f"TARGET must be one of {', '.join(TARGETS)}, got {target!r}.")
    rest = sys.argv[2:]
    corpus = Path(rest.pop(0)) if rest and not rest[0].startswith("-") else Path("fuzz-corpus") / target
    write_seeds(target, corpus)
    atheris.Setup([sys.argv[0], str(corpus), *rest], TARGETS[target])
    atheris.Fuzz()
