"""The exception for mistakes of the user, told apart from errors of the program."""

from __future__ import annotations


class UserError(ValueError):
    """Raised for a mistake of the user's. The message says what was expected, what was given and what to try."""
