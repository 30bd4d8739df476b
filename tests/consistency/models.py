"""Models without weights, as functions of crops. This file imports only NumPy."""

import numpy as np


def squares(number=0, size=(160, 200)):
    """An image whose instances are squares of different colors, (H, W, 3) uint8."""
    image = np.zeros((*size, 3), np.uint8)
    image[70:100, 60 + number : 95] = 100
    image[80:120, 110:130] = 200
    image[75:85, 140:160] = 150
    return image


def noise(number=0, size=(160, 200)):
    return np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)


def bright_things(crops):
    """Every color of a crop is an instance of its own class."""
    return list(map(_bright_things, crops))


def _bright_things(crop):
    levels = [level for level in np.unique(crop[..., 0]) if level]
    masks = np.array([crop[..., 0] == level for level in levels], bool)
    masks = masks.reshape(-1, *crop.shape[:2])
    boxes = np.zeros((len(levels), 4), np.float32)
    for box, mask in zip(boxes, masks, strict=True):
        rows, columns = np.nonzero(mask)
        box[:] = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    scores = np.array([0.3 + level / 400 - len(levels) / 100 for level in levels], np.float32)
    classes = np.array([level // 128 for level in levels], np.int64)
    return {"boxes": boxes, "scores": scores, "classes": classes, "masks": masks}


def labels(crops):
    """Label maps of a model that pools with stride 8, so it is equivariant to that grid alone."""
    return list(map(_labels, crops))


def _labels(crop):
    rows, columns = (np.arange(n) // 8 * 8 for n in crop.shape[:2])
    return crop[..., 0][np.ix_(rows, columns)].astype(np.int64) // 64


def pixels(crops):
    """Label maps of a model that sees each pixel alone."""
    return [crop[..., 0].astype(np.int64) // 64 for crop in crops]


def answers(crops):
    """Logits."""
    return [np.log1p(crop[::8, ::8].reshape(-1, 3).mean(axis=0)) * 3 for crop in crops]
