"""Files that survive a kill, a full disk and a hostile hand.

In: paths, text. Out: files written whole, read within limits, locked by one.
Before: nothing. After: every room that touches the disk.
"""
