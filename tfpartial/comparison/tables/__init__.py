"""The systems table as text.

In: `SystemsTable`. Out: console, Markdown, LaTeX, CSV and JSON.
"""
