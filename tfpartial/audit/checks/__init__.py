"""What makes a case unlike the others: one module a question."""
