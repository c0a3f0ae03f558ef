"""`tfpartial fit` as a script: python scripts/fit.py --help."""

import sys

from tfpartial.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["fit", *sys.argv[1:]]))
