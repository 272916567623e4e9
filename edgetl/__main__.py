"""`python -m edgetl` is `edgetl`, also under torchrun."""

import sys

from edgetl.cli import main

sys.exit(main())
