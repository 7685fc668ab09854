"""Where on a page an image may stand besides <img>: bits of a mask of what is wanted, as the scanner and its callers share it."""

OG_IMAGE, IMAGE_LINK, VIDEO_POSTER = 1, 2, 4
