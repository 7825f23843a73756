"""The `dataset` kind: normalised records and splits that share no prompt."""
