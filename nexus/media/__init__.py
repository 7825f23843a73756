"""What a model reads besides text: for each medium the half that ships, one module of its own."""
