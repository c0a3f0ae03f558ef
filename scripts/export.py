"""`tfpartial export` as a script: python scripts/export.py --help."""

import sys

from tfpartial.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))
