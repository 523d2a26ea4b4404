"""``python -m jaxinit``: the same as the command ``jaxinit``."""

import sys

from jaxinit.cli import main

if __name__ == "__main__":
    sys.exit(main())
