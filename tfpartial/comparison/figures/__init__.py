"""The pictures of a comparison.

In: validation histories; scans with each system's prediction. Out: PNG.
"""
