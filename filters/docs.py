"""docs/filters.md, generated: `python -m filters.docs > docs/filters.md`."""

import dataclasses
import json
import types
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from filters.contract import Filter, Sampler, Selector
from filters.examples import COLUMNS, EXAMPLES, GROUPS, READS, Example
from filters.files.assets import ASSETS
from filters.registry import Context, Entry, build, find

# Parameters that `webpairs filter` has options for; all others follow --param.
OPTIONS = ("arch", "threshold", "fraction", "image_based_scale", "seed", "lid_model", "assets")

_HEADER = """# Filters

Generated from `filters/` by `make docs`; a test holds it current.

A filter reads columns of the metadata, never images, and keeps or drops each row. One by its name:

    webpairs filter --name NAME --metadata_dir 4_scores --save_path 5_subsets/NAME.npy --param KEY=VALUE …

Parameters that DataComp's baselines.py has too are options under its names (`--arch`, `--threshold`, `--fraction`,
`--image_based_scale`); so are `--seed`, `--lid-model` and `--assets`. All others follow one `--param` as KEY=VALUE, the value as
TOML writes it: `--param bits=4`, `--param 'allow=["cc0", "cc-by"]' missing=keep`; what is no TOML is text. Beside the subset,
NAME.json tells what was asked, what that came to on this pool, and how many rows each rule removed, alone and in order.

## Compositions

A recipe is a TOML file: `webpairs filter --recipe FILE.toml --metadata_dir 4_scores --save_path 5_subsets/ours.npy`.
`recipes/` has those of LAION-2B-en, of DataComp-1B, in the manner of data filtering networks (DFN), and our own; these also go by
name, `--recipe laion_2b_en`.

    name = "ours"
    source = "where the rule is from"
    sample = { filter = "soft_cap", arch = "l14", fraction = 1.0 }   # optional: of the kept rows, how often each is seen

    [keep]
    then = [
        { filter = "file_name_text" },
        { any = [{ filter = "language", code = "en" }, { filter = "min_words", words = 8 }] },
        { not = { filter = "licence", allow = ["cc-by-nd"] } },
        { filter = "clip_score", arch = "l14", fraction = 0.3 },
    ]

A table has exactly one of `filter` (with its parameters), `all`, `any`, `then` (each a list of such tables) and `not` (one).
`all` keeps what every member keeps, `any` what some member keeps, `not` what its member drops. A fraction is that of the whole
pool, wherever it stands; inside `then` it is that of the rows which the members before it keep. An option or --param
on the command line is for every filter of the recipe that takes it, and goes before what the recipe says. Paths in a recipe are
relative to its folder.
Filters that work row by row are asked last, for the rows that the others leave, whatever their place in `all`.

## Columns from other stages

`--beside DIR` joins parquets of the same names and rows: what `webpairs dedup`, `webpairs decontaminate` and `webpairs measure`
wrote. Embeddings (`l14_img`, `b32_txt`, …) stand in the .npz of the same stem. A filter that needs a column which the metadata
lacks says so, and which command makes it.

## Measures and samplers

Some filters cut a number that they compute themselves; `webpairs measure --name NAME --metadata 4_scores --out DIR` stores it as
a column, so that thresholds can be tried without computing it again (`score_range` cuts it). A sampler does not drop: it says how
often each row that a filter keeps is seen, and the subset repeats a uid as often. It stands as `sample` in a recipe; by its name
alone it draws from the whole pool.

## DataComp's files

`basic_filter`, `text_based` and `image_based` take files that DataComp's scripts download. Nothing is downloaded here: give each
by its option, or all in a folder, under these names, by `--assets DIR`; else they are looked for where DataComp's scripts and
nltk keep them. basic_filter takes the language model only where the metadata has no column `lang`.
"""


def render() -> str:
    """Markdown of all filters of this package, by groups."""
    parts = [_HEADER, *_assets(), "## All filters\n", "| filter | keeps |", "|---|---|"]
    parts += [f"| [{name}](#{name}) | {_cell(find(name).summary)} |" for names in GROUPS.values() for name in names]
    for title, names in GROUPS.items():
        parts += [f"\n## {title}", *("\n".join(_filter(find(name), EXAMPLES[name])) for name in names)]
    return "\n".join([*parts, ""])


def command(name: str, example: Example) -> list[str]:
    """The words of an example's command line."""
    words = ["webpairs", "filter", "--name", name, "--metadata_dir", "4_scores", "--save_path", f"5_subsets/{name}.npy"]
    plain = {key: value if isinstance(value, str) else json.dumps(value) for key, value in example.values.items()}
    words += [word for key in plain if key in OPTIONS for word in (f"--{key}", plain[key])]
    others = [f"{key}={plain[key]}" for key in plain if key not in OPTIONS]
    return [*words, *(["--beside", *example.beside] if example.beside else []), *(["--param", *others] if others else [])]


def reads_of(name: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns that a filter with these values reads, on metadata that has them all."""
    return READS[name] if name in READS else _built(name, values).reads


def _filter(entry: Entry, example: Example) -> Iterator[str]:
    sampler = entry.name not in READS and isinstance(_built(entry.name, example.values), Sampler)
    yield f"\n### {entry.name}\n"
    yield f"{entry.summary[:1].upper() + entry.summary[1:] if sampler else f'Keeps {entry.summary}'}.\n"
    yield f"Source: {entry.source}.\n"
    if reads := reads_of(entry.name, example.values):
        yield f"Reads, in the example: {', '.join(f'`{column}`' for column in reads)}.\n"
    if entry.measure is not None:
        yield "`webpairs measure` stores its number.\n"
    if fields := dataclasses.fields(entry.parameters):
        hints = get_type_hints(entry.parameters)
        yield "| parameter | type | default | meaning |\n|---|---|---|---|"
        for field in fields:
            kind = "path" if field.metadata["file"] else _type(hints[field.name])
            told = (f"`{field.name}`", kind, _default(field), field.metadata["doc"])
            yield f"| {' | '.join(map(_cell, told))} |"
        yield ""
    yield f"    {' '.join(map(_quoted, command(entry.name, example)))}"


def _built(name: str, values: Mapping[str, Any]) -> Filter | Selector | Sampler:
    return build(name, values, Context(columns=COLUMNS))


def _assets() -> Iterator[str]:
    yield "| file | what it is | option | kept in | published at |\n|---|---|---|---|---|"
    for asset in ASSETS.values():
        yield f"| `{asset.names[0]}` | {_cell(asset.what)} | `{asset.option}` | `{asset.cached}` | {asset.url} |"
    yield ""


def _type(hint: Any) -> str:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(one) for one in inner if one is not type(None))
    if origin is Literal:
        return "one of " + ", ".join(map(str, inner))
    if origin is tuple:
        return f"list, each a {_type(inner[0])}"
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}.get(hint, "any")


def _default(field: "dataclasses.Field[Any]") -> str:
    if field.default is dataclasses.MISSING:
        return "required"
    if field.default is None or field.default == ():
        return "none"
    if isinstance(field.default, tuple | bool):
        return f"`{json.dumps(field.default)}`"
    return f"`{field.default}`"


def _quoted(word: str) -> str:
    return f"'{word}'" if any(mark in word for mark in ' "[]') else word


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(render(), end="")
