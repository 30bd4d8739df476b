"""Registration of datasets in Detectron2's catalogs."""

import logging
from collections.abc import Callable
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

logger = logging.getLogger(__name__)

HOW_TO_REGISTER = (
    "--coco NAME JSON FOLDER registers a COCO dataset, --import MODULE_OR_FILE code that registers "
    "any dataset"
)
"""End of the messages about a name that is not in the catalogs."""
_OURS: set[str] = set()
"""Names of the datasets that :func:`register` has registered."""


def register(name: str, load: Callable[[], list[dict]], **metadata: Any) -> None:
    """Registers a dataset.

    An earlier dataset of the same name is replaced if this function registered it, as after a
    change of ``DETECTRON2_DATASETS``. A dataset of another package keeps its name, with a warning.

    Args:
        name: name of the dataset.
        load: function that returns the dataset dicts.
        metadata: entries of the dataset's metadata.
    """
    if name in DatasetCatalog.list() and name not in _OURS:
        logger.warning("%s is already registered by another package, and is left as it is", name)
        return
    for catalog in (DatasetCatalog, MetadataCatalog):
        if name in catalog.list():
            catalog.remove(name)
    DatasetCatalog.register(name, load)
    MetadataCatalog.get(name).set(**metadata)
    _OURS.add(name)
