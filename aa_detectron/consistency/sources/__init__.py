"""Sources of images: arrays, files, folders, COCO files and videos."""
