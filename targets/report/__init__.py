"""A project as one page of HTML: what is built, how it scored, what it took, what is stale."""
