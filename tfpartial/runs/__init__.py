"""The run directory: who owns it, what it holds, its weights.

In: a folder. Out: its declaration, its networks, its checkpoints on disk.
Before: tfpartial.config, tfpartial.models.
After: tfpartial.training writes it; inference, export, cli read it.
"""
