"""Does the runs of a comparison, each stage in a process of its own.

In: planned runs. Out: run directories with scores, one journal and log each.
"""
