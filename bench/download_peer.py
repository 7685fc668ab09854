"""img2dataset with the settings that stand in a JSON file: `python -m bench.download_peer FILE [one-ssl-context]`.

Runs in img2dataset's own environment. With `one-ssl-context` urllib makes its SSL context once per process, which is what it
does from Python 3.12 on (its HTTPSHandler makes it, and urlopen keeps that handler); before, it makes one per request.
"""

import json
import sys
from pathlib import Path

ONE_CONTEXT = "one-ssl-context"


def share_one_context() -> None:
    """Have urlopen use a handler that holds its context, made as http.client makes it."""
    import ssl
    import urllib.request

    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    context.post_handshake_auth = True
    urllib.request.install_opener(urllib.request.build_opener(urllib.request.HTTPSHandler(context=context)))


# Here and not below: img2dataset's worker processes import this module anew, under another name but with the same words.
if ONE_CONTEXT in sys.argv[2:]:
    share_one_context()

if __name__ == "__main__":
    from img2dataset import download

    download(**json.loads(Path(sys.argv[1]).read_text()))
