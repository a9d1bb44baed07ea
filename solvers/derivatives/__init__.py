"""Derivatives of a trial function: along directions, in mixed partials, by planned jets."""
