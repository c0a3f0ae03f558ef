"""Commands: flags -> config -> one call.

In: argv. Out: exit code (0 done, 2 bad input), files named on the way.
Before: a user. After: every stage; nothing imports this package.
"""
