"""Everything that draws: the figures of Zou et al. (BMVC 2020), pairs of crops, drop curves.

Each file computes the numbers of one figure and draws it.
"""

from aa_detectron.experiments import require_extra

require_extra("matplotlib", "skimage")
