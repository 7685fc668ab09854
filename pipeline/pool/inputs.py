"""Which files of a folder are the candidates."""

from pipeline import io
from pipeline.manifest import CONFIG_NAME, MANIFEST_NAME, Manifest, manifest_from_json
from pipeline.stage import require_complete
from schemas.errors import UserError


def candidate_files(folder: str) -> list[str]:
    """The parquet files to read: the parts that extract's manifest lists; of a folder that extract did not make, all visible.

    A part that the manifest does not list is left over from other WATs, or stands under a name that an earlier version gave
    it: its pairs would count twice. Raises UserError where there are none, where extract has not finished, or a part is missing.
    """
    visible = io.list_files(folder, ".parquet") if io.exists(folder) else []
    files = _listed(folder, visible) if visible and io.exists(io.join(folder, CONFIG_NAME)) else visible
    if not files:
        raise UserError(f"{folder}: no candidates (*.parquet) there; give the folder that `extract` wrote")
    return files


def _listed(folder: str, visible: list[str]) -> list[str]:
    require_complete(folder)
    manifest = _manifest_of(folder)
    if manifest.stage != "extract":
        return visible
    by_name, listed = {io.stem(path): path for path in visible}, manifest.parts
    missing = next((name for name in listed if name not in by_name), None)
    if missing is not None:
        raise UserError(f"{io.join(folder, missing)}.parquet: is not there, but the manifest lists it; run `extract` again")
    return [by_name[name] for name in sorted(listed)]


def _manifest_of(folder: str) -> Manifest:
    path = io.join(folder, MANIFEST_NAME)
    try:
        return manifest_from_json(io.read_bytes(path))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a manifest; remove it and run `extract` again") from error
