"""Figures of Zou et al. (BMVC 2020): each file computes the numbers of one and draws them."""
