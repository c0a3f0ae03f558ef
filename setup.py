"""Tells what is built which commit it is of; all else is in setup.cfg."""

import runpy
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

# Without an import of the package, whose requirements a build lacks.
PROGRAM = runpy.run_path("tfpartial/program_version.py")


def write_commit(folder: str) -> None:
    """Write the commit into the package below a folder, if it is known."""
    commit = PROGRAM["git_commit"]()
    if commit:
        path = Path(folder, "tfpartial", PROGRAM["COMMIT_FILE"])
        path.write_text(f"{commit}\n", encoding="ascii")


class BuildPy(build_py):
    """The package, with its commit; an editable one asks git."""

    def run(self) -> None:
        """Build, then write the commit."""
        super().run()
        if not self.editable_mode:
            write_commit(self.build_lib)


class Sdist(sdist):
    """The sources, with the commit that git will not know there."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """Copy the sources, then write the commit."""
        super().make_release_tree(base_dir, files)
        write_commit(base_dir)


setup(cmdclass={"build_py": BuildPy, "sdist": Sdist})
