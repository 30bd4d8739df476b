"""Registration of datasets in Detectron2's catalogs."""

from collections.abc import Callable
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog


def register(name: str, load: Callable[[], list[dict]], **metadata: Any) -> None:
    """Registers a dataset, and replaces an earlier dataset of the same name.

    Args:
        name: name of the dataset.
        load: function that returns the dataset dicts.
        metadata: entries of the dataset's metadata.
    """
    for catalog in (DatasetCatalog, MetadataCatalog):
        if name in catalog.list():
            catalog.remove(name)
    DatasetCatalog.register(name, load)
    MetadataCatalog.get(name).set(**metadata)
