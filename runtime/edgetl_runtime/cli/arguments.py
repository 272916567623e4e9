"""Arguments that several commands share."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from edgetl_runtime.commands import Where


def add_bundle(parser: ArgumentParser) -> None:
    """Add the bundle."""
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="folder or zip that edgetl exported")


def add_session(parser: ArgumentParser) -> None:
    """Add the bundle, whom to trust, and which of its variants runs where."""
    add_bundle(parser)
    add_target(parser)
    add_trust(parser)


def add_target(parser: ArgumentParser, device: str = "cpu") -> None:
    """Add which variant runs where; `device` is the default."""
    parser.add_argument("--variant", default="auto", help="its name; default: the first whose engine is here")
    place = f"where the engine runs: cpu, gpu, npu, ...; auto: whatever is fastest here; default: {device}"
    parser.add_argument("--device", default=device, help=place)
    parser.add_argument("--fallback", metavar="DEVICE", help="used where --device cannot be; default: none")
    parser.add_argument("--threads", metavar="N", type=int, help="of the engine; default: its own choice")
    hint = "one picture soon, or many pictures a second; default: latency"
    parser.add_argument("--hint", choices=("latency", "throughput"), default="latency", help=hint)


def where(given: Namespace) -> Where:
    """Return what `add_session` added."""
    trust = None if given.trust is None else tuple(given.trust)
    return Where(given.variant, given.device, given.fallback, given.threads, given.hint, trust)


def add_trust(parser: ArgumentParser) -> None:
    """Add the keys of which one must have signed the bundle."""
    trust = "public key, a PEM file or 64 hex digits, that must have signed the bundle; may be repeated"
    parser.add_argument("--trust", metavar="KEY", action="append", help=trust)
