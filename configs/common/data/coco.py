"""Images and masks of COCO, with the augmentation of Detectron2's model zoo."""

from detectron2.config import LazyCall as L
from detectron2.data import build_detection_test_loader, get_detection_dataset_dicts
from detectron2.data import transforms as T

from aa_detectron.data.mappers import CheckedDatasetMapper
from aa_detectron.data.train_loader import make_train_loader
from aa_detectron.evaluation.build import make_evaluator

dataloader = dict(
    train=L(make_train_loader)(
        dataset=L(get_detection_dataset_dicts)(names="coco_2017_train"),
        mapper=L(CheckedDatasetMapper)(
            is_train=True,
            augmentations=[
                L(T.ResizeShortestEdge)(
                    short_edge_length=[640, 672, 704, 736, 768, 800],
                    max_size=1333,
                    sample_style="choice",
                ),
                L(T.RandomFlip)(horizontal=True),
            ],
            image_format="${model.input_format}",
            use_instance_mask=True,
        ),
        total_batch_size=16,
        seed="${train.seed}",
        num_workers=4,
    ),
    test=L(build_detection_test_loader)(
        dataset=L(get_detection_dataset_dicts)(names="coco_2017_val", filter_empty=False),
        mapper=L(CheckedDatasetMapper)(
            is_train=False,
            augmentations=[L(T.ResizeShortestEdge)(short_edge_length=800, max_size=1333)],
            image_format="${model.input_format}",
        ),
        num_workers=4,
    ),
    evaluator=L(make_evaluator)(
        name="${..test.dataset.names}", output_dir="${train.output_dir}/inference"
    ),
)
