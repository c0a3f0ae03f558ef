"""`tfpartial build` as a script: python scripts/build_tfrecords.py --help."""

import sys

from tfpartial.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["build", *sys.argv[1:]]))
