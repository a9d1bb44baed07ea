"""Derivative estimators that several methods use."""
