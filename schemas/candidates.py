"""candidates: what `extract` finds in a WAT, one row per image link with alt text."""

import pyarrow as pa

from schemas.columns import STRINGS, column, required, table

CANDIDATES = table(
    "One image link with alt text, as found on one page of one WAT. Nothing is judged here: pool decides.",
    [
        required("uid", pa.string(), "md5 of (text + url) in UTF-8, 32 lower-case hex digits, as in cc2dataset"),
        required("url", pa.string(), "absolute image URL, resolved against the page (RFC 3986)"),
        required("text", pa.string(), "alt text, exactly as extracted"),
        required("page_url", pa.string(), "URL of the page that holds the image"),
        column("crawl", pa.string(), "crawl the WAT belongs to, e.g. CC-MAIN-2024-22; null where the WAT does not say"),
        required("wat_path", pa.string(), "WAT file the row was read from"),
        required("record_offset", pa.int64(), "offset of the record's gzip member in the WAT file", "bytes"),
        column("fetched_at", pa.timestamp("us", "UTC"), "when the page was crawled (WARC-Date)", "s since epoch, UTC"),
        column("html_lang", pa.string(), "lang attribute of the page's <html>"),
        column("content_language", pa.string(), "Content-Language of the page, header or meta"),
        column("license_url", pa.string(), "target of the page's first rel=license link, absolute"),
        column("robots", STRINGS, "lower-case directives of X-Robots-Tag and meta robots, sorted, e.g. noai"),
        column("tdm_reserved", pa.bool_(), "tdm-reservation (TDMRep): true reserved, false not reserved, null silent"),
        required(
            "source",
            pa.string(),
            "where on the page the image stands: img; each only where asked for: og:image (text is og:title or og:description), "
            "a (link to an image, text is the link's), video (poster, text is its own title or alt, or as of og:image)",
        ),
    ],
)
