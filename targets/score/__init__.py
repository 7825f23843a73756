"""The packed student's answers on the held-out prompts."""
