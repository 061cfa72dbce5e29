"""Fixtures for anyone's tests: the sandbox store and pictures."""
