"""The student's weights before adapters."""
