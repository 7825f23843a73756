"""A cheap domain for tests of the builder: a resolver over a JSON-like spec, and work to do."""
