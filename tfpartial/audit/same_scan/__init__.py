"""The same scan under two names, whatever was done to the copy.

In: what `measures` keeps of each scan. Out: pairs, and what they mean.
"""
