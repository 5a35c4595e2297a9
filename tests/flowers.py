"""Flower as the tests ask it: one request at a time, with or without a password."""

import base64
import re
import time
from collections.abc import Mapping
from http.client import HTTPConnection

from flower.urls import handlers

NOBODY: Mapping[str, str] = {}


def by(user: str, password: str) -> dict[str, str]:
    """The headers of somebody with a password."""
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def said_to(port: int, path: str, method: str, headers: Mapping[str, str]) -> tuple[int, str]:
    """Status and page. Raises OSError."""
    flower = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        flower.request(method, path, headers=dict(headers))
        answered = flower.getresponse()
        return answered.status, answered.read().decode("utf-8", "replace")
    finally:
        flower.close()


def answer(port: int, path: str, method: str = "GET", headers: Mapping[str, str] = NOBODY) -> int:
    """The status of one request; 0 where there is no answer."""
    try:
        return said_to(port, path, method, headers)[0]
    except OSError:
        return 0


def wait_for_flower(port: int, prefix: str = "") -> None:
    """Until it answers."""
    give_up = time.monotonic() + 60
    while answer(port, f"{prefix}/healthcheck") != 200:
        assert time.monotonic() < give_up, "Flower does not answer"
        time.sleep(0.2)


def doors() -> list[str]:
    """A path for each thing that this version of Flower serves; what is no page of it is not among them."""
    patterns = [getattr(one, "regex", None) for one in handlers]
    paths = [pattern.pattern if pattern else one[0] for pattern, one in zip(patterns, handlers, strict=True)]
    return [re.sub(r"\(\.[+*]\)", "x", path).removesuffix("$").removesuffix("/?") for path in paths if path != ".*"]
