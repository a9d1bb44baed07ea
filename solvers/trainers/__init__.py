"""Trainers: Adam, forward gradients, zeroth-order descent, descent in random subspaces."""
