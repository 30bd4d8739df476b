"""Conversion of the outputs of any library to plain predictions."""
