"""Sound: so far how a teacher reads it. No student does yet, so the spec has no such room."""
