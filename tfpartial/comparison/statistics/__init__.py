"""Which system is better, and is it real? No file is read here.

In: the scores of every system and seed. Out: `SystemsTable`, plain data.
"""
