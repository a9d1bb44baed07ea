"""What the user did wrong, told apart from what the program did wrong."""

from __future__ import annotations


class UserError(ValueError):
    """A mistake of the caller's: the message says what was expected, what was given and what to try."""
