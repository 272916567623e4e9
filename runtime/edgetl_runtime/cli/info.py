"""`info`: verify a bundle and say what it holds."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace

from edgetl_runtime.cli.arguments import add_bundle, add_trust
from edgetl_runtime.cli.guard import Outcome
from edgetl_runtime.cli.printing import to_json
from edgetl_runtime.commands import run_info

SUMMARY = "Verify a bundle and say what it holds."


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_bundle(parser)
    add_trust(parser)


def run(given: Namespace) -> Outcome:
    """Check every file of the bundle against its manifest."""
    from edgetl_runtime.presentation import render_info

    manifest = run_info(given.bundle, trust=given.trust)
    content = {"id": manifest.hash, "manifest": json.loads(manifest.to_json())}
    return Outcome(to_json(content) if given.json else render_info(manifest))
