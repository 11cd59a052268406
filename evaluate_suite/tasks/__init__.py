"""The tasks: each file measures one thing behind one function."""
