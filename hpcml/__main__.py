"""``python -m hpcml`` is the command ``hpcml``."""

import sys

from hpcml.cli import main

sys.exit(main())
