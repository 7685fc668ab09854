"""The names that img2dataset gives to interpolations and stored formats; no imports that cost anything."""

from typing import Literal

Interpolation = Literal["nearest", "linear", "bilinear", "cubic", "bicubic", "area", "lanczos", "lanczos4"]
StoredFormat = Literal["jpg", "png", "webp"]
