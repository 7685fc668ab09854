"""What the random WATs are made of; the usual stands first in each list."""

from typing import Any

# fmt: off
WORDS = [
    "cat", "a red cat", "Katze", "", " ", "\t\n", "für Bücher", "猫の写真", "😀 smile", "a" * 300, 'say "meow"', "back\\slash",
    "</b> & &amp; &#39;",
]
ODD_WORDS = [
    "\x00", "\x01\x1f", "\x7f\x85", "\u2028", "\ufeffbom", "\ud83d", "\ude00\ud83d", "a\ud800b", "\U0010ffff", "\xa0x\u3000",
    "}", '"}', "]}", "\\", '\\"', '{"path":"IMG@/src","url":"/no.jpg","alt":"no"}', "IMG@/src", "\x1f\x8b\x08",
    "\r\n\r\nWARC",
]
HOSTS = ["cdn.example", "page.example", "a.b.example", "127.0.0.1", "localhost"]
ODD_HOSTS = [
    "CDN.example", "bücher.example", "xn--bcher-kva.example", "[::1]", "[zz]", "[::1]x", "under_score.example", "-a.example",
    "a-.example", "a..example", "cdn.example.", "", ".", "sp ace.example", "a%2Eexample", "%zz.example", "0x7f.1",
    "300.1.1.1", "1.2.3", "09.1.1.1", "a" * 64 + ".example", "a." * 130 + "x", "<b>", "user@cdn.example", "u:p@cdn.example",
    "a@b@c.example", "cdn\t.example", "cdn\n.example", "ß.example", "😀.example", "Ｆｕｌｌ.example", "a\\b", "1", "a.1",
    "[::ffff:1.2.3.4]", "[fe80::1%25eth0]", "\u00ad", "a\u3002example", "x.example]", "[::1",
]
PORTS = ["", ":80", ":8080", ":", ":0", ":65535", ":65536", ":port", ":80:80", ":٣", ":0000080", ":-1", ":99999999999"]
SCHEMES = [
    "https://", "http://", "//", "HTTP://", "HttpS://", "https:", "http:/", "https:///", "ftp://", "data:", "javascript:",
    "JavaScript:", "blob:https://", "mailto:", "a+b.c:", ":", "//:", "\\\\", "https:\\\\", "http//",
]
PATHS = [
    "/a.jpg", "/", "", "/a/../b/./c.jpg", "/a b.jpg", "/a%20b.jpg", "/%C3%A4.jpg", "/ä.jpg", "/猫.jpg", "/a.jpg?x=1&y=2",
    "/a.jpg?", "/a.jpg#f", "/a.jpg#", "?q", "#f", "/a;p=1?q#f", "/a\\b.jpg", "//x//y", "/a\tb.jpg", "/a\nb", "/../../a",
    "/./", "/..", "/a:b", "/😀.jpg", '/"quoted".jpg', "/<x>", "/[a]", "/a|b",
]
RELATIVE = [
    "a.jpg", "../a.jpg", "./a.jpg", "../../../../a.jpg", "dir/a.jpg", ".", "..", "...", "?q=1", "#top", ";p", "a:b.jpg",
    "1:b.jpg", "a/b:c.jpg", "", " ", "\t", "a b.jpg", "ä.jpg", "[a].jpg", "//[", "//[x]/a", "a\\b", "/a.jpg", "/", "//",
    "///a.jpg", "////x/a", "%2e%2e/a.jpg", "a?b#c", "a.jpg\x00", "a\u2028b", "."*9,
]
USUAL = [
    "https://cdn.example/a.jpg", "/a.jpg", "a.jpg", "//cdn.example/b.png", "https://cdn.example/ä b.jpg",
    "http://page.example/x?y=1&z=2", "https://cdn.example/a.jpg", "/a.jpg", "",
]
SPACES = ["", "", "", " ", "\t", "\n", "\r\n ", "\xa0", "\u3000", "\x1c", "\x00"]
BASES = [
    "/", "https://base.example/d/", "//base.example/x/y", "sub/", "../", "", " /spaced/ ", "http://[broken", "javascript:0",
    "mailto:x", "HTTP://UP.example/", "?q", "#", "data:,x", "ftp://f.example/",
]
PAGES = [
    "https://page.example/dir/page.html", "http://page.example/", "https://other.example/a/b/c?q=1#f",
    "https://page.example", "http://127.0.0.1:8080/x/", "HTTPS://Upper.example/A/", "https://bücher.example/ä/",
    "https://page.example/dir/a;p/b?c=/d", "https://u:p@page.example:443/", "dns:page.example", "file:///a/b", "http:///x",
    "page.html", "https://page.example/a\tb/c", "http://[::1]/a/", "", "",
]
ROBOTS = [
    "noai", "noindex, nofollow", "none", "index,follow", "noai, noimageai", "googlebot: noindex", "ccbot: noindex, noai",
    "webpairs:none", "*: noimageindex", "robots: noai", "otherbot: none, ccbot: noai",
    "max-snippet:-1, max-image-preview:large", "unavailable_after: 25 Jun 2030 15:00:00 PST; noai", "", " ", ",;:", ":noai",
    "NoAI", "no ai", "nofollow", "a b: noai", "ccbot: max-snippet: 5", "img2dataset:noimageai;x", "ｎoai", "İ: noai",
    "noarchive",
]
DATES = [
    "2024-05-18T01:58:10Z", "2024-05-18T01:58:10.5Z", "2024-05-18T01:58:10.123456789Z", "2024-05-18T03:58:10+02:00",
    "2024-05-18", "20240518015810", "20241318015810", "2024-02-30T00:00:00Z", "2024-05-18T24:00:00Z", "2024-05-18 01:58:10",
    "2024-05-18t01:58:10z", "2008-10-294T05:21:46-0700", "", "now", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z",
    "2024-W20-6", "20240518T015810Z", "2024-05-18T01:58Z", "２０２４-05-18T01:58:10Z", " 2024-05-18T01:58:10Z",
    "2024-05-18T01:58:10Zx", "2024-05-18T01:58:60Z", "1969-12-31T23:59:59Z", "2024-05-18T01:58:10,5Z", "99999999999999",
]
LANGUAGES = ["en", "de-CH", "", " fr ", "x" * 40, "日本"]
LICENSES = [
    "https://creativecommons.org/licenses/by/4.0/", "/licence", "licence.html", "", " ", "mailto:x", "//[bad",
    "HTTPS://CC.example/", "javascript:0", "//cc.example/by",
]
RELS = [
    "license", "License", "nofollow license", "stylesheet", "nolicense", "", "external nofollow", "license\tme", "licenſe",
]
OTHER_LINKS = [
    "A@/href", "LINK@/href", "SCRIPT@/src", "VIDEO@/poster", "FORM@/action", "IFRAME@/src", "IMG@/longdesc", "INPUT@/src",
    "img@/src", "IMG@/src ", "STYLE/#text",
]
OPEN_GRAPH = ["og:image", "og:title", "og:description", "og:image:url"]
ODD_OPEN_GRAPH = [
    "OG:Image", " og:image ", "og:Title\u3000", "\u00a0og:description", "og:image:secure_url", "og:url", "og:", "og:image:",
    "oG:TITLE", "og:image:width", "ög:image", "twitter:image", "",
]
FILES = [
    "/a.jpg", "https://cdn.example/a.JPG", "a.jpeg?x=/b.html", "b.png#f", "/a.gif", "//cdn.example/b.WebP", "a.bmp", "a.tif",
    "a.tiff", "a.avif", "/a.jpg.html", "/a.html?f=b.jpg", "page.html", "/", "", "#a.jpg", "https://host.jpg",
    "//host.png?a.jpg", "https://host.png/", "a.jpg ", "\u3000a.png\n", "a.jpg\xa0?", "a.jpg;v=1", ".png", "jpg", "a.jpgx",
    "a.svg", "mailto:a@b.gif", "javascript:x.jpg", "ä.jpg", "日.png", "a.日", "a?b#c.jpg", "HTTPS://cdn.example/a.TIFF",
    "a\\.jpg", "a.jpg\\", 'a".jpg', "a.ＪＰＧ", "http:a.jpg", "https:///a.jpg", "http://host.example:x/a.gif", "a.jp\tg",
    "a.jpg\x00", "data:image/png;base64,a.png", "/" * 40 + "a.jpg",
]
MORE_KEYS = [
    "IMG@/src", "Links", "Head", "path", "url", "alt", "rel", "name", "x", "Envelope", "WARC-Target-URI", "property", "text",
]
MORE_PAIRS = [
    ("path", "IMG@/src"), ("path", "A@/href"), ("rel", "license"), ("alt", "more"), ("url", "/more.jpg"),
    ("name", "robots"), ("", ""), ("path", "VIDEO@/poster"), ("url", "more.jpg"), ("property", "og:image"), ("text", "more"),
]
ODD_VALUES: list[Any] = [None, 7, True, False, 0, -1.5, [], {}, ["x"], {"url": "/x"}, "", 10**17, "text"]
# fmt: on
