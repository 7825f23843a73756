"""The `encoder` kind: what turns a medium into states, shared by all capabilities that read it."""
