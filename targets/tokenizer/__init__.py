"""The student's tokenizer."""
