"""The adapter router: which capability a prompt asks for."""
