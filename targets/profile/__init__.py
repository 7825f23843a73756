"""NIWT profiles: which layers, directions and heads carry a capability."""
