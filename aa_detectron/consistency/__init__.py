"""Consistency under shifts: crops, records of pairs, scores.

A library of its own on NumPy, SciPy and pycocotools: it imports neither PyTorch nor Detectron2.
"""
