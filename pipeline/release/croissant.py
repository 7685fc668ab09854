"""Release → croissant.json: Croissant 1.1 (mlcommons.org/croissant/1.1) with the vocabulary for responsible AI.

Every data file is a FileObject with its sha256, all together are a FileSet that records are read from, and every column is a
field, described as schemas/ describes it.
"""

from collections.abc import Mapping
from typing import Any

from pipeline.release.census import Census
from pipeline.release.column_types import croissant_type
from pipeline.release.layout import DATA, Release
from pipeline.release.licences import licence_url
from pipeline.release.statements import languages, statements
from pipeline.report.text import visible

_MOST_FILES = 1000  # readers parse every node; of more files SHA256SUMS has the checksums
_ROWS = "rows"
_SET = "parquet-files"
_TYPES = {
    "parquet": "application/x-parquet",
    "npz": "application/zip",
    "npy": "application/octet-stream",
    "json": "application/json",
}
_LANGUAGES_TOLD = 50

# The context of the specification, word for word: readers warn of another.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant(release: Release, files: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The JSON-LD document; `files` tells {"sha256": hex, "bytes": n} by relative name."""
    said = statements(release)
    document: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": visible(release.name),
        "description": said.summary,
        "license": licence_url(visible(release.license)),
        "version": f"{release.revision}.0.0",
        "citeAs": _citation(release),
        "keywords": ["image-text pairs", "alternative text", "web", "multimodal"],
        "inLanguage": [code for code, _ in languages(Census.of(release.census))[:_LANGUAGES_TOLD]],
        "rai:dataCollection": " ".join(said.collection),
        "rai:dataCollectionType": ["Web Scraping"],
        "rai:dataCollectionMissingData": said.missing,
        "rai:dataPreprocessingProtocol": [f"{folder}: {told['stage']}, see DATASHEET.md" for folder, told in _stages(release)],
        "rai:machineAnnotationTools": _tools(release),
        "rai:dataUseCases": list(said.uses),
        "rai:dataBiases": list(said.biases),
        "rai:dataLimitations": list(said.limitations),
        "rai:dataSocialImpact": said.impact,
        "rai:personalSensitiveInformation": list(said.sensitive),
        "rai:dataReleaseMaintenancePlan": said.maintenance,
        "distribution": _distribution(release, files),
        "recordSet": [_record_set(release)],
    }
    census = Census.of(release.census)
    if census.first:
        document["rai:dataCollectionTimeFrame"] = [census.first, census.last]
    if release.published:
        document["datePublished"] = visible(release.published)
    if release.homepage:
        document["url"] = visible(release.homepage)
    if release.creator:
        document["creator"] = [{"@type": "Organization", "name": visible(release.creator)}]
    return {key: value for key, value in document.items() if value not in ([], "")}


def _citation(release: Release) -> str:
    who = f"{visible(release.creator)}: " if release.creator else ""
    year = f", {visible(release.published)[:4]}" if release.published else ""
    return f"{who}{visible(release.name)}, revision {release.revision}{year}"


def _stages(release: Release) -> list[tuple[str, Mapping[str, Any]]]:
    told = [(visible(folder), told) for folder, told in release.stages.items() if isinstance(told, dict) and "stage" in told]
    return [(folder, {"stage": visible(each["stage"])}) for folder, each in told]


def _tools(release: Release) -> list[str]:
    found = []
    for told in release.stages.values():
        columns = told.get("config", {}).get("columns") if isinstance(told, dict) and told.get("stage") == "score" else None
        for name, made in (columns or {}).items():
            model = made.get("model", "") if isinstance(made, dict) else ""
            found.append(visible(f"{name}: open_clip model {model}" if model else name))
    return found


def _distribution(release: Release, files: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = [
        {
            "@type": "cr:FileSet",
            "@id": _SET,
            "name": _SET,
            "description": "All rows, sorted by domain, url and uid over the files in order. SHA256SUMS has checksums.",
            "encodingFormat": _TYPES["parquet"],
            "includes": f"{DATA}/*.parquet",
        }
    ]
    if len(files) > _MOST_FILES:
        return nodes
    for name, told in files.items():
        nodes.append(
            {
                "@type": "cr:FileObject",
                "@id": name,
                "name": name,
                "contentUrl": name,
                "contentSize": f"{told['bytes']} B",
                "encodingFormat": _TYPES.get(name.rsplit(".", 1)[-1], "application/octet-stream"),
                "sha256": told["sha256"],
            }
        )
    return nodes


def _record_set(release: Release) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": _ROWS,
        "name": _ROWS,
        "description": "One image-text pair per record.",
        "key": {"@id": f"{_ROWS}/uid"},
        "field": [made for column in release.columns if (made := _field(column)) is not None],
    }


def _field(column: Mapping[str, Any]) -> dict[str, Any] | None:
    kind = croissant_type(str(column["type"]))
    if kind is None:
        return None
    name, unit = visible(column["name"]), str(column.get("unit", ""))
    described = visible(column["doc"], 1000) + (f" ({visible(unit)})" if unit else "")
    node: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"{_ROWS}/{name}",
        "name": f"{_ROWS}/{name}",
        "description": described,
        "dataType": kind[0],
        "source": {"fileSet": {"@id": _SET}, "extract": {"column": column["name"]}},
    }
    if kind[1]:
        node |= {"isArray": True, "arrayShape": ",".join(["-1"] * kind[1])}
    return node
