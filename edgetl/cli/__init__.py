"""The command line `edgetl`: flags are turned into plain arguments here, and nothing below knows of them."""

from edgetl.cli.app import main

__all__ = ["main"]
