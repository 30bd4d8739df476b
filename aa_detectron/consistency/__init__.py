"""Consistency under shifts: crops, records of pairs, scores."""
