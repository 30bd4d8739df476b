"""Mappers by meta-architecture; errors name the file, and DeepLab crops after the resize."""

from detectron2.config import CfgNode, configurable
from detectron2.data import DatasetMapper
from detectron2.data import detection_utils as utils
from detectron2.data import transforms as T

from aa_detectron.config import CLASSIFIER, SEGMENTORS

from .classification import ClassificationMapper
from .images import image_size, read_image
from .label_maps import check_label_file, check_labels, read_label_map


class CheckedDatasetMapper(DatasetMapper):
    """Says in one line what is wrong with an image or a label map.

    Args:
        num_classes: of the label maps; None leaves them unchecked.
        ignore_label: the label that may be beyond them.
        args, kwargs: for Detectron2's mapper.

    Raises (when called):
        InputError: a file that is missing or broken, an image of another size than the data set
            says, a label map of another size than its image, an illegal label.
    """

    @configurable
    def __init__(self, *args, num_classes: int | None = None, ignore_label: int = 255, **kwargs):
        super().__init__(*args, **kwargs)
        self.num_classes = num_classes
        self.ignore_label = ignore_label

    @classmethod
    def from_config(cls, cfg: CfgNode, is_train: bool = True):
        arguments = super().from_config(cfg, is_train)
        if cfg.MODEL.META_ARCHITECTURE in SEGMENTORS:
            head = cfg.MODEL.SEM_SEG_HEAD
            arguments |= {"num_classes": head.NUM_CLASSES, "ignore_label": head.IGNORE_VALUE}
        if is_train and cfg.MODEL.META_ARCHITECTURE == "SemanticSegmentor":
            arguments["augmentations"] = build_sem_seg_augmentation(cfg)
        return arguments

    def __call__(self, dataset_dict: dict):
        file_name = dataset_dict.get("sem_seg_file_name") if self.num_classes else None
        if file_name:
            check_label_file(file_name, image_size(dataset_dict["file_name"]))
        try:
            mapped = super().__call__(dataset_dict)
        except (OSError, SyntaxError, utils.SizeMismatchError):
            # Says what is wrong in one line.
            read_image(dataset_dict, self.image_format)
            if file_name:
                read_label_map(file_name)
            raise
        if file_name:
            check_labels(mapped["sem_seg"], self.num_classes, self.ignore_label, file_name)
        return mapped


def build_mapper(cfg: CfgNode, is_train: bool):
    """The mapper for ``MODEL.META_ARCHITECTURE``."""
    is_classifier = cfg.MODEL.META_ARCHITECTURE == CLASSIFIER
    return (ClassificationMapper if is_classifier else CheckedDatasetMapper)(cfg, is_train)


def build_sem_seg_augmentation(cfg: CfgNode) -> list[T.Augmentation]:
    """Resize, crop and flip. Unlike for detectors, the crop comes after the resize."""
    augmentations = utils.build_augmentation(cfg, is_train=True)
    if cfg.INPUT.CROP.ENABLED:
        crop = T.RandomCrop_CategoryAreaConstraint(
            cfg.INPUT.CROP.TYPE,
            cfg.INPUT.CROP.SIZE,
            cfg.INPUT.CROP.SINGLE_CATEGORY_MAX_AREA,
            cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
        )
        augmentations.insert(1, crop)
    return augmentations
