"""The names that img2dataset gives to resize modes, interpolations and stored formats; no imports that cost anything."""

from typing import Literal

ResizeMode = Literal["keep_ratio_largest", "no", "border", "keep_ratio", "center_crop"]
Interpolation = Literal["nearest", "linear", "bilinear", "cubic", "bicubic", "area", "lanczos", "lanczos4"]
StoredFormat = Literal["jpg", "png", "webp"]
