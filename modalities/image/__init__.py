"""Pictures: so far how a teacher reads them. No student does yet, so the spec has no such room."""
