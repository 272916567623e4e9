"""The command line `edgetl-runtime`: one file for each command, read by `app`, printed by `printing`.

`edgetl` offers the same commands under its own name.
"""

from edgetl_runtime.cli.app import COMMANDS, Command, main
from edgetl_runtime.cli.guard import EXIT_CODES, Outcome, guarded
from edgetl_runtime.cli.printing import harmless, print_text

__all__ = ["COMMANDS", "EXIT_CODES", "Command", "Outcome", "guarded", "harmless", "main", "print_text"]
