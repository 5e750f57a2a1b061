"""``python -m wiredrv``: the command line, for where the script ``wiredrv`` is not on the path."""

import sys

from wiredrv.cli.main import main

sys.exit(main())
