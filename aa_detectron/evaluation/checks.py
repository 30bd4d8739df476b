"""Check that a dataset has what the options of the test of consistency need."""

from collections.abc import Callable

from detectron2.data import MetadataCatalog

from aa_detectron.errors import InvalidOption


def check_needs(
    name: str,
    *,
    labelled_only: bool = False,
    worst_shift: bool = False,
    key: Callable[[str], str] = str,
) -> None:
    """Checks that a dataset has label maps and objects if an option needs them.

    Args:
        name: name of a registered dataset, or path of a folder of images.
        labelled_only: whether only pixels with a label other than the ignore label count.
        worst_shift: whether AP over the worst shift of each image is measured.
        key: function from the name of an option to its name in the message.

    Raises:
        InvalidOption: the dataset lacks what an option needs.
    """
    metadata = MetadataCatalog.get(name)
    if labelled_only and metadata.get("ignore_label") is None:
        legal = f"False for {name}, which has no label maps"
        raise InvalidOption(key("labelled_only"), True, legal)
    is_coco = metadata.get("evaluator_type") in ("coco", "coco_panoptic_seg")
    if worst_shift and not (is_coco and metadata.get("json_file") is not None):
        legal = f"False for {name}, which has no objects in COCO's format"
        raise InvalidOption(key("worst_shift"), True, legal)
