"""Defines what a measurement is: the record, its store, and everything that a record is made of."""
