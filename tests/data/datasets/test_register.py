"""Names in Detectron2's catalogs."""

import logging

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from aa_detectron.data.datasets.register import register

NAME = "test_register_name"


@pytest.fixture(autouse=True)
def _name_is_free():
    yield
    for catalog in (DatasetCatalog, MetadataCatalog):
        if NAME in catalog.list():
            catalog.remove(NAME)


def test_our_own_dataset_is_replaced():
    for place in ("a", "b"):
        register(NAME, lambda place=place: [{"file_name": place}], place=place)
    assert DatasetCatalog.get(NAME) == [{"file_name": "b"}]
    assert MetadataCatalog.get(NAME).place == "b"


def test_a_dataset_of_another_package_stays(caplog):
    name = NAME + "_of_others"
    DatasetCatalog.register(name, lambda: [{"file_name": "theirs"}])
    MetadataCatalog.get(name).set(place="theirs")
    try:
        with caplog.at_level(logging.WARNING):
            register(name, lambda: [{"file_name": "ours"}], place="ours")
        assert DatasetCatalog.get(name) == [{"file_name": "theirs"}]
        assert MetadataCatalog.get(name).place == "theirs"
        assert name in caplog.text and "another package" in caplog.text
    finally:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
