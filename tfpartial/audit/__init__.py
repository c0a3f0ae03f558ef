"""What is wrong with pooled databases, before anything is trained on them.

In: an experiment's databases; maybe the predictions of a trained run.
Out: one page (HTML) and its numbers (JSON): database x label, outliers,
    sides, orientation, shifted annotations, the same scan twice, disagreement
    with a network.
Before: tfpartial.databases reads cases, tfpartial.inference segments them.
After: a person looks at the page.
"""

from tfpartial.audit.finding import KINDS, Finding
from tfpartial.audit.result import AuditResult
from tfpartial.audit.run import audit, summary_lines

__all__ = [
    "KINDS",
    "AuditResult",
    "Finding",
    "audit",
    "summary_lines",
]
