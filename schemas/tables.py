"""All tables, by name, in the order of the flow."""

from schemas.candidates import CANDIDATES
from schemas.contamination import CONTAMINATION
from schemas.duplicates import DUPLICATES
from schemas.pool import POOL
from schemas.rankings import PAIRS, RANKINGS
from schemas.releases import LEDGERS, RELEASES
from schemas.scalings import CROSSINGS, SCALINGS
from schemas.scores import SCORES
from schemas.shards import SHARDS
from schemas.subsets import SUBSETS

TABLES = {
    "candidates": CANDIDATES,
    "pool": POOL,
    "shards": SHARDS,
    "scores": SCORES,
    "duplicates": DUPLICATES,
    "contamination": CONTAMINATION,
    "subsets": SUBSETS,
    "rankings": RANKINGS,
    "pairs": PAIRS,
    "scalings": SCALINGS,
    "crossings": CROSSINGS,
    "releases": RELEASES,
    "ledgers": LEDGERS,
}
