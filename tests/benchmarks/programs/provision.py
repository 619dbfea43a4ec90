"""From the start of this process, on a login node, until every slot of its own jobs has finished a fit.

    python provision.py POOL SLOTS MEASURE      prints {MEASURE: seconds, …} as JSON
"""

import sys

from start import main

if __name__ == "__main__":
    main(f"{sys.argv[1]}_fleet", int(sys.argv[2]), sys.argv[3])
