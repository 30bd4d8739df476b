"""Squares seen through a sliding window, as a detector would return them."""

import torch
from detectron2.structures import Boxes, Instances

STAYS, GOES, SHRINKS, WEAK = (20, 20, 10, 0.9), (30, 34, 8, 0.8), (24, 20, 6, 0.9), (20, 20, 9, 0.1)
OFFSETS = [(12, x) for x in range(4)]
SEEN = [(STAYS, GOES), (GOES, WEAK, STAYS), (STAYS,), (SHRINKS, GOES)]


def windowed(offset, *squares, masks=True):
    """Squares (y, x, side, score) of the image as a window of 40 x 40 at ``offset`` shows them."""
    found = Instances((40, 40))
    pixels = torch.zeros(len(squares), 64, 64, dtype=torch.bool)
    boxes = torch.zeros(len(squares), 4)
    for i, (y, x, side, _) in enumerate(squares):
        pixels[i, y : y + side, x : x + side] = True
        boxes[i] = torch.tensor([x, y, x + side, y + side]) - torch.tensor(offset[::-1] * 2)
    if masks:
        found.pred_masks = pixels[:, offset[0] : offset[0] + 40, offset[1] : offset[1] + 40]
    found.pred_boxes = Boxes(boxes)
    found.scores = torch.tensor([square[3] for square in squares])
    found.pred_classes = torch.zeros(len(squares), dtype=torch.long)
    return found
