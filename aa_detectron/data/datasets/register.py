"""Putting data sets into Detectron2's catalogs."""

from detectron2.data import DatasetCatalog, MetadataCatalog


def register(name, load, **metadata):
    """Register a data set of `load()`; one of the same name is replaced."""
    for catalog in (DatasetCatalog, MetadataCatalog):
        if name in catalog.list():
            catalog.remove(name)
    DatasetCatalog.register(name, load)
    MetadataCatalog.get(name).set(**metadata)
