"""ViTDet (Li et al., ECCV 2022): Mask R-CNN on a plain ViT-B, whose patch embedding is filtered."""

from functools import partial

from detectron2.config import LazyCall as L
from detectron2.modeling.backbone import SimpleFeaturePyramid, ViT
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from torch import nn

from aa_detectron.modeling import antialiased

from .mask_rcnn_fpn import model

model.backbone = L(SimpleFeaturePyramid)(
    net=L(antialiased)(
        model=L(ViT)(
            img_size=1024,
            patch_size=16,
            embed_dim=768,
            depth=12,
            num_heads=12,
            drop_path_rate=0.1,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=14,
            window_block_indexes=[0, 1, 3, 4, 6, 7, 9, 10],  # the others see the whole image
            out_feature="last_feat",
        ),
        filter="adaptive",
        patch_embed=True,
    ),
    in_feature="${.net.model.out_feature}",
    out_channels=256,
    scale_factors=[4.0, 2.0, 1.0, 0.5],
    top_block=L(LastLevelMaxPool)(),
    norm="LN",
    square_pad=1024,
)
model.proposal_generator.head.conv_dims = [-1, -1]
model.roi_heads.box_head.update(conv_dims=[256, 256, 256, 256], fc_dims=[1024], conv_norm="LN")
model.roi_heads.mask_head.conv_norm = "LN"
model.update(
    pixel_mean=[123.675, 116.280, 103.530], pixel_std=[58.395, 57.120, 57.375], input_format="RGB"
)
