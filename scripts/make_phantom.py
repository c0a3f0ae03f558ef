"""`tfpartial phantom` as a script: python scripts/make_phantom.py --help."""

import sys

from tfpartial.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["phantom", *sys.argv[1:]]))
