"""Measurements: each file is a command that prints what it measured."""
