"""Says in one line why a data set cannot be loaded, also of those that Detectron2 registers."""

import contextlib

from detectron2.data import DatasetCatalog, MetadataCatalog

from aa_detectron.errors import InputError

from .cityscapes import check_cityscapes
from .coco_check import check_coco_json


@contextlib.contextmanager
def explained(names):
    """Where the block fails, check the files of some data sets for the reason.

    Args:
        names (Iterable[str]): registered data sets. Those that are neither COCO's nor Cityscapes'
            are passed over.

    Raises:
        InputError: naming the file; else what the block raised.
    """
    try:
        yield
    except InputError:
        raise
    except Exception:
        for name in names:
            metadata = MetadataCatalog.get(name)
            root = metadata.get("json_file") or metadata.get("image_root")
            if metadata.get("json_file"):
                check_coco_json(metadata.json_file)
            elif metadata.get("evaluator_type") == "cityscapes_sem_seg":
                check_cityscapes(metadata.image_dir, metadata.gt_dir)
            if root and not DatasetCatalog.get(name):
                raise InputError(f"{root}: holds no image of {name}") from None
        raise
