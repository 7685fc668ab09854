"""Release → README.md, a dataset card with Hugging Face's YAML, and DATASHEET.md, the questions of Gebru et al. (2021).

Whatever a template prints is escaped as Markdown unless a filter made it code or YAML: no value can end a cell or open a tag.
"""

import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

import jinja2

from pipeline.release.census import Census
from pipeline.release.column_types import feature_of
from pipeline.release.escaping import code, markdown, yaml
from pipeline.release.funnel import funnel_of
from pipeline.release.layout import DATA, Release
from pipeline.release.licences import known_licence, licence_url
from pipeline.release.statements import languages, statements
from pipeline.report.text import share, size

_SIZES = (10**3, 10**4, 10**5, 10**6, 10**7, 10**8, 10**9, 10**10, 10**11, 10**12)
_LANGUAGES_TOLD, _LEAST_SHARE = 50, 0.005
_DOMAINS_TOLD = 10
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _Made(str):
    """Text that a filter made safe."""

    __slots__ = ()


def render_card(release: Release, files: Mapping[str, Mapping[str, Any]]) -> str:
    """README.md; `files` tells {"bytes": n} of data files by relative name."""
    data_bytes = sum(int(files.get(name, {}).get("bytes", 0)) for name in release.data)
    return _render("card.md", release, data_bytes=data_bytes)


def render_datasheet(release: Release) -> str:
    """DATASHEET.md."""
    return _render("datasheet.md", release)


def _render(template: str, release: Release, **more: Any) -> str:
    census = Census.of(release.census)
    text = (
        _environment()
        .get_template(template)
        .render(
            release=release,
            census=census,
            said=statements(release),
            funnel=funnel_of(release.stages),
            languages=languages(census),
            language_rows=sum(census.values.get("lang", {}).values()),
            domains=sorted(census.domains.items(), key=lambda item: (-item[1], item[0]))[:_DOMAINS_TOLD],
            licence_url=licence_url(release.license),
            front_matter=_Made(_front_matter(release, census)),
            score=_score_column(release),
            names={column["name"] for column in release.columns},
            stages=_stages(release),
            **more,
        )
    )
    return text.rstrip("\n") + "\n"


def _environment() -> jinja2.Environment:
    files = resources.files(__package__)
    loader = jinja2.FunctionLoader(lambda name: files.joinpath(name).read_text("utf-8"))
    environment = jinja2.Environment(
        loader=loader,
        autoescape=False,  # noqa: S701 - Markdown, not HTML: `finalize` escapes whatever is printed
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: value if isinstance(value, _Made) else markdown(value),
    )
    environment.filters.update(
        code=lambda value: _Made(code(value)),
        n=lambda value: _Made(f"{value:,}"),
        size=lambda value: _Made(size(value)),
        share=lambda part, whole: _Made(share(part, whole)),
        plain=_Made,  # our own sentences of pipeline.release.statements
    )
    return environment


def _front_matter(release: Release, census: Census) -> str:
    """Hugging Face's YAML: lists and scalars, every text quoted. Its values are JSON, which YAML 1.2 contains."""
    licence = known_licence(release.license)
    known: dict[str, Any] = {"license": licence or "other"}
    if licence is None:
        known["license_name"] = release.license
    told = sum(census.values.get("lang", {}).values())
    common = [name for name, n in languages(census)[:_LANGUAGES_TOLD] if n >= _LEAST_SHARE * told]
    lines = [f"pretty_name: {yaml(release.name)}", *(f"{name}: {yaml(value)}" for name, value in known.items())]
    lines += _list("language", common)
    lines += _list("size_categories", [_size_category(release.rows)])
    lines += _list("task_categories", ["image-to-text", "text-to-image", "zero-shot-image-classification"])
    lines += _list("tags", ["image-text", "web", "common-crawl"])
    lines += ["configs:", "- config_name: default", "  data_files:", "  - split: train", f'    path: "{DATA}/*.parquet"']
    features = _features(release)
    if features is not None:
        lines += ["dataset_info:", "  config_name: default", "  features:", *(f"  - {json.dumps(each)}" for each in features)]
    return "\n".join(lines)


def _list(name: str, values: list[str]) -> list[str]:
    return [f"{name}:", *(f"- {yaml(value)}" for value in values)] if values else []


def _features(release: Release) -> list[dict[str, Any]] | None:
    """The columns as `datasets` lists them; None where it must look itself, for a type or name."""
    found = []
    for column in release.columns:
        feature = feature_of(str(column["type"]))
        if feature is None or not _PLAIN.fullmatch(str(column["name"])):
            return None
        found.append({"name": column["name"], **(feature if isinstance(feature, dict) else {"dtype": feature})})
    return found


def _size_category(rows: int) -> str:
    """Hugging Face's word for a number of rows: n<1K, 1K<n<10K, … n>1T."""
    names = ["1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T"]
    place = next((place for place, bound in enumerate(_SIZES) if rows < bound), len(_SIZES))
    if place == 0:
        return "n<1K"
    return "n>1T" if place == len(_SIZES) else f"{names[place - 1]}<n<{names[place]}"


def _score_column(release: Release) -> str:
    """A similarity column for the examples of code, "" where there is none whose name may stand there."""
    names = (str(column["name"]) for column in release.columns)
    return _Made(next((n for n in names if n.endswith("_similarity_score") and _PLAIN.fullmatch(n)), ""))


def _stages(release: Release) -> list[dict[str, Any]]:
    """Per folder what it was made with: parameters with their values in JSON, flattened by one level; versions."""
    return [
        {
            "folder": folder,
            "stage": told.get("stage", folder),
            "parameters": list(_flat(told.get("config", {}))),
            "versions": told.get("versions", {}),
            "counts": told.get("counts", {}),
        }
        for folder, told in release.stages.items()
        if isinstance(told, dict)
    ]


def _flat(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            found += [(f"{name}.{inner}", json.dumps(item, ensure_ascii=False)) for inner, item in value.items()]
        else:
            found.append((name, json.dumps(value, ensure_ascii=False)))
    return found
