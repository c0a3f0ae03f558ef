"""`tfpartial pseudo-label` as a script: scripts/pseudo_label.py --help."""

import sys

from tfpartial.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["pseudo-label", *sys.argv[1:]]))
