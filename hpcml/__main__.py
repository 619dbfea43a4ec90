"""``python -m hpcml`` is the command ``hpcml``."""

import sys

from hpcml.commands.main import main

sys.exit(main())
