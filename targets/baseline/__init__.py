"""What a teacher answers to the held-out prompts: what contracts compare with."""
