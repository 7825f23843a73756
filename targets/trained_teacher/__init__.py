"""Sample teachers: small models that the build trains from scratch."""
