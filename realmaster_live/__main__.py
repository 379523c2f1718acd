"""`python -m realmaster_live` is the command `realmaster`."""

import sys

from realmaster_live.cli import main

if __name__ == "__main__":
    sys.exit(main())
