"""Comparisons of variants over several seeds: runs, scores, intervals, tables and a report."""
