"""A toy room: the model reads a list of digits. Everything of this medium stands in this folder."""
