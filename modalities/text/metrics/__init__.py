"""Metrics of text: each module is one, by its name, with `METRIC` and literal constants.

The constants at a module's top are read without importing it. UNIT and HIGHER_IS_BETTER must be
there. The others are False where they are not: UNBOUNDED (scores may be above 1), NEEDS_TESTS (of
each row), BY_LIKELIHOOD (about how likely the reference is, not about what is said). Formulas that
several metrics share stand next to this folder, not in it.
"""
