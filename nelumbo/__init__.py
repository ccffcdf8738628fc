"""From a folder of images to an image generator behind HTTP: the command ``nelumbo``, and :class:`Generator`."""
