"""Loader of shifted pairs."""

import itertools
import logging
from collections.abc import Callable, Collection, Iterator

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, build_detection_test_loader
from detectron2.utils import comm
from torch.utils.data import DataLoader

from aa_detectron.config import CLASSIFIER, check_has_keys
from aa_detectron.errors import InputError

from .images import NEEDED, get_image_dicts
from .mappers import ClassificationPairMapper, ShiftedPairMapper

logger = logging.getLogger(__name__)


class SkippingMapper:
    """Calls a mapper; returns {file name: message} instead where the mapper raises InputError."""

    def __init__(self, mapper: Callable[[dict], list[dict]]):
        self.mapper = mapper

    def __call__(self, dataset_dict: dict) -> list[dict] | dict[str, str]:
        try:
            return self.mapper(dataset_dict)
        except InputError as error:
            return {dataset_dict["file_name"]: str(error)}


class SkippingLoader:
    """Batches of the usable images in a folder; the log names the others.

    Args:
        loader: loader whose batches are lists of results of a :class:`SkippingMapper`.
        name: name of the folder.

    Raises (when iterated over):
        InputError: no image can be used.
    """

    def __init__(self, loader: DataLoader, name: str):
        self.loader = loader
        self.name = name

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[list[dict]]:
        used: set[str] = set()
        skipped: dict[str, str] = {}
        for batch in self.loader:
            for mapped in batch:
                if isinstance(mapped, dict):
                    skipped |= mapped
            pairs = [mapped for mapped in batch if not isinstance(mapped, dict)]
            used.update(crop["file_name"] for pair in pairs for crop in pair)
            if pairs:
                yield flatten_pairs(pairs)
        if skipped:
            self._report(len(used), skipped)

    def _report(self, used: int, skipped: dict[str, str]) -> None:
        for message in skipped.values():
            logger.warning(f"left out: {message}")
        count = f"{len(skipped)} of {used + len(skipped)} images"
        # Another process may have usable images.
        if not used and comm.get_world_size() == 1:
            first = next(iter(skipped.values()))
            raise InputError(f"{self.name}: {count} cannot be used: {first}")
        logger.warning(f"{self.name}: {count} are left out")


def flatten_pairs(batch: list[list[dict]]) -> list[dict]:
    """Collates pairs into one flat list: first, second, first, second, ..."""
    return list(itertools.chain.from_iterable(batch))


def build_pair_mapper(cfg: CfgNode) -> ShiftedPairMapper | ClassificationPairMapper:
    """Builds the mapper of pairs for ``MODEL.META_ARCHITECTURE``."""
    is_classifier = cfg.MODEL.META_ARCHITECTURE == CLASSIFIER
    return ClassificationPairMapper(cfg) if is_classifier else ShiftedPairMapper(cfg)


def build_shifted_pair_loader(
    cfg: CfgNode, name: str, only: Collection[tuple] | None = None
) -> DataLoader | SkippingLoader:
    """Builds the :func:`make_pair_loader` of a config.

    Args:
        cfg: config with ``TEST.CONSISTENCY``.
        name: name of a registered dataset, or path of a folder of images.
        only: (image id, pair number) of each wanted pair; None for all pairs.
    """
    check_has_keys(cfg)
    options = cfg.TEST.CONSISTENCY
    return make_pair_loader(
        name,
        build_pair_mapper(cfg),
        pairs_per_image=options.PAIRS_PER_IMAGE,
        pairs_per_batch=options.PAIRS_PER_BATCH,
        strict=options.STRICT,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        only=only,
    )


def make_pair_loader(
    name: str,
    mapper: Callable[[dict], list[dict]],
    *,
    pairs_per_image: int = 1,
    pairs_per_batch: int = 1,
    strict: bool = False,
    num_workers: int = 0,
    only: Collection[tuple] | None = None,
) -> DataLoader | SkippingLoader:
    """Makes a test loader of shifted pairs from every image.

    Args:
        name: name of a registered dataset, or path of a folder of images.
        mapper: mapper of pairs, such as :class:`.mappers.ShiftedPairMapper`.
        pairs_per_image: number of pairs per image.
        pairs_per_batch: number of pairs per batch.
        strict: whether an image of a folder that cannot be read or is too small raises InputError.
            Otherwise the loader skips it. Such an image in a registered dataset always raises
            InputError.
        num_workers: number of processes that read images; 0 for this process.
        only: (image id, pair number) of each wanted pair; None for all pairs.
    """
    is_strict = strict or name in DatasetCatalog
    pairs = [
        {key: image[key] for key in NEEDED if key in image} | {"pair_number": number}
        for image in get_image_dicts(name)
        for number in range(pairs_per_image)
        if only is None or (image["image_id"], number) in only
    ]
    loader = build_detection_test_loader(
        pairs,
        mapper=mapper if is_strict else SkippingMapper(mapper),
        batch_size=pairs_per_batch,
        num_workers=num_workers,
        collate_fn=flatten_pairs if is_strict else list,
    )
    return loader if is_strict else SkippingLoader(loader, name)
