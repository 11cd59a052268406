"""The structure accuracy metric: a folder that `evaluate.load` takes, and that can be a Space of its own."""
