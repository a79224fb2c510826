"""Addresses of tracking servers as people may see them: without user, password and query."""

from __future__ import annotations

import re
from urllib.parse import quote, quote_plus, unquote, unquote_plus

LOCAL = ("sqlite:///", "file:")
"""Files of this machine: `@` and `?` are characters of their names."""
LEAST = 3
"""Characters of a secret that is looked for by itself; a shorter one is hidden where it stands in an address."""


def shown(uri: str) -> str:
    """An address for people to read.

    Whatever stands before its last `@` may be of a password, `/` and `?` too; and a query may have one.
    """
    if uri.startswith(LOCAL):
        return uri
    scheme, separator, rest = uri.partition("://") if "://" in uri else ("", "", uri)
    rest = rest.rpartition("@")[2]
    return f"{scheme}{separator}{re.split('[?#]', rest, maxsplit=1)[0]}"


def hidden(text: str, uri: str) -> str:
    """A library's text, such as an error, with the address shortened by `shown` and every password replaced."""
    if uri and not uri.startswith(LOCAL):
        text = text.replace(uri, shown(uri))
        for secret in sorted(_secrets(uri), key=len, reverse=True):
            text = text.replace(secret, "…")
    text = re.sub(r"(\b[A-Za-z][\w+.-]*://)(?!/)[^\s'\"<>]*@", r"\1", text)
    return re.sub(r"(?<!/)//[^\s/]*@", "//", text)


def _secrets(uri: str) -> set[str]:
    """The user part, the password and the values of the query, in the ways in which a library may write them."""
    rest = uri.partition("://")[2] or uri
    user, at, _ = rest.rpartition("@")
    found = {user, user.partition(":")[2]} if at else set()
    query = rest.partition("?")[2] if not at else rest.rpartition("@")[2].partition("?")[2]
    found |= {value.partition("=")[2] for value in re.split("[&;#]", query)}
    ways = (str, unquote, unquote_plus, quote, lambda text: quote(text, safe=""), quote_plus,
            lambda text: quote(unquote(text), safe=""), lambda text: repr(text)[1:-1])  # fmt: skip
    return {way(text) for text in found for way in ways if len(way(text)) >= LEAST}
