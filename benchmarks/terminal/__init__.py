"""Talking to a person: reading what was typed, numbers and tables as text."""
