"""`tfpartial import-openkbp` as a script."""

import sys

from tfpartial.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["import-openkbp", *sys.argv[1:]]))
