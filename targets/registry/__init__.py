"""The list of all teachers and what they teach."""
