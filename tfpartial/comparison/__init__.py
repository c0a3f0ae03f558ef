"""The systems of the paper, or your own, trained and compared.

In: a comparison (`configs/paper/*.yaml`): an experiment, systems, seeds.
Out: finished runs, and their table, statistics and figures.
Before: every stage of one run. After: nothing; `tfpartial table` calls it.

Read in this order: `declare` (what may be said), `load` (YAML), `plan` (which
runs that needs), `run/` (does them), `results` (reads them), `statistics/`,
`tables/` and `figures/`; `compare` calls each in turn.
"""
