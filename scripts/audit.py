"""`tfpartial audit` as a script: python scripts/audit.py --help."""

import sys

from tfpartial.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["audit", *sys.argv[1:]]))
