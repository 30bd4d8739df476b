"""Records of several processes."""

import logging

import pytest
from detectron2.utils import comm

from aa_detectron.evaluation.gathering import gather_records, log_scores


@pytest.fixture
def two_processes(monkeypatch):
    """A function that makes this process one of two; the other one has the record "b"."""

    def start(rank):
        def gather(records, dst):
            return [records, [{"image_id": "b"}]] if rank == dst else []

        monkeypatch.setattr(comm, "synchronize", lambda: None)
        monkeypatch.setattr(comm, "get_rank", lambda: rank)
        monkeypatch.setattr(comm, "is_main_process", lambda: rank == 0)
        monkeypatch.setattr(comm, "gather", gather)

    return start


def test_main_process_has_the_records_of_all(two_processes):
    two_processes(rank=0)
    assert gather_records([{"image_id": "a"}]) == [{"image_id": "a"}, {"image_id": "b"}]


def test_other_processes_have_none(two_processes):
    two_processes(rank=1)
    assert gather_records([{"image_id": "a"}]) is None


def test_each_process_alone(two_processes):
    two_processes(rank=1)
    assert gather_records([{"image_id": "a"}], distributed=False) == [{"image_id": "a"}]


def test_scores_in_the_log(caplog):
    logger = logging.getLogger("tests.gathering")
    with caplog.at_level(logging.INFO, logger.name):
        log_scores(logger, "bbox of shapes (percent)", {"AP": 12.346, "AP50": 50.5})
    title, header, _, row = caplog.messages[0].splitlines()
    assert title == "bbox of shapes (percent):"
    assert header.split("|")[1].strip() == "AP" and "12.35" in row and "50.50" in row
