"""Hostile input: mutations of every kind of file that tfpartial reads.

In: valid inputs of seconds. Out: a tally of what the readers did.
Before: the readers. After: nothing; this only measures.
"""
