"""Where users import the plain networks from; see :mod:`aa_detectron.modeling.plain`."""

from aa_detectron.modeling.plain import *  # noqa: F403
