"""Verdicts: the metric of student and teacher against the contract."""
