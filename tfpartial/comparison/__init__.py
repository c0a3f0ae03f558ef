"""The systems of the paper, trained and compared on any databases.

In: a comparison (`configs/paper/*.yaml`): an experiment, systems, seeds.
Out: finished runs, and their table, statistics and figures.
Before: every stage of one run. After: nothing; `scripts/table.py` calls it.
"""
