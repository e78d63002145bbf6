"""What ``python -m ldclient`` runs: the command line, which lives in ``ldclient.local.command``."""

import sys

from ldclient.local.command import main

if __name__ == "__main__":
    sys.exit(main())
