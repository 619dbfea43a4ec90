"""Program of ``python -m hpcml``: the command ``hpcml``."""

import sys

from hpcml.commands.main import main

sys.exit(main())
