"""Stands in for the command `ray`: nodes that only wait, and a count of them; one may fail to start.

FAKE_RAY names a folder; FAKE_RAY_FAILS is a part of the name of the node that fails, FAKE_RAY_MUTE makes none count.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path


def main(command: str, *arguments: str) -> int:
    nodes = Path(os.environ["FAKE_RAY"])
    if command == "status":
        print(*(f" 1 node_{node.name}" for node in nodes.iterdir() if "FAKE_RAY_MUTE" not in os.environ), sep="\n")
        return 0
    name = Path(arguments[arguments.index("--temp-dir") + 1]).name
    if name == os.environ.get("FAKE_RAY_FAILS"):
        print("the fake fails as it was told", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    dashboard = None
    if "--dashboard-port" in arguments:
        dashboard = socket.create_server(("127.0.0.1", int(arguments[arguments.index("--dashboard-port") + 1])))
    given = {key: os.environ.get(key, "") for key in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")}
    (nodes / name).write_text("\n".join(f"{key}={value}" for key, value in given.items()))
    try:
        time.sleep(300)
    finally:
        (nodes / name).unlink()
        if dashboard is not None:
            dashboard.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
