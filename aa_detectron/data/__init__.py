from aa_detectron.compat import require_detectron2

require_detectron2(__name__)

from . import datasets  # noqa: F401  registers the datasets
