"""What carries a capability in a teacher: blocks, heads, neurons, directions."""
