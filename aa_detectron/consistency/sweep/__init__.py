"""Sweeps: a fixed crop against crops that move away from it step by step.

Consistency recovers at shifts by a whole multiple of the network's total stride. Means over random
shifts hide this effect; the curve of a sweep and its phase gap show it. The phase gap is meaningful
only if the model does not resize the crops.
"""
