"""Which requests the live view answers: of people who may, and of no other site's pages.

Without a token, only this machine is answered: a browser opens this machine's addresses for any
page that asks it to, so other host names, which a foreign page may point at this address, are
refused. With a token, whoever gives it is answered: once in the address or on the page that asks
for it, then by a cookie, or in each request as `Authorization: Bearer TOKEN`.

Either way requests that another site's page makes, pictures and frames included, are refused.
Behind a proxy that adds a path the page is of the proxy's own site.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from realmaster_live.errors import ConfigError
from realmaster_live.optional import require

web = require("aiohttp.web", extra="live")
http_exceptions = require("aiohttp.http_exceptions", extra="live")

HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
OWN_SITE = ("same-origin", "none")  # of Sec-Fetch-Site; "none" is an address that a person opened
READS = ("GET", "HEAD")
LOGIN = "/login"
LEAST_TOKEN = 8  # characters
HEADERS = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'self'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
ASK = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>RealMaster live</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="static/style.css">
<main class="ask"><h1>RealMaster live</h1>
<form method="post" action="login"><label>Token<input name="token" type="password" required
autocomplete="current-password" autofocus></label><button>Open the view</button></form>
<p>The command that started the view printed it, as part of the address.</p></main></html>
"""


class Access:
    """Decides which requests are answered.

    Args:
        token: what people have to give; None to answer this machine alone.

    Raises:
        ConfigError: the token is too short, or of characters that no address or header may hold.
    """

    def __init__(self, token: str | None) -> None:
        is_plain = token is None or (token.isascii() and token.isprintable() and " " not in token)
        if token is not None and (len(token) < LEAST_TOKEN or not is_plain):
            raise ConfigError(
                f"expected a token of {LEAST_TOKEN} or more ASCII characters without spaces, got "
                "another: choose a longer one, or leave it out to have one made"
            )
        self._token = token
        digest = hashlib.sha256((token or "").encode()).hexdigest()
        self._cookie = f"realmaster-view-{digest[:8]}"  # views of one host have cookies apart

    @property
    def middleware(self) -> Any:
        """What an aiohttp application calls around every request."""

        @web.middleware  # type: ignore[untyped-decorator]
        async def guard(request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
            self._check_origin(request)
            if self._token is None:
                return await handler(request)
            if request.path == LOGIN and request.method == "POST":
                return await self._log_in(request)
            if self._is_known(request):
                return await handler(request)
            if self._matches(request.query.get("token", "")):
                response = await handler(request)
                if not response.prepared:
                    self._remember(response)
                return response
            if request.path == "/static/style.css":
                return await handler(request)
            if request.path == "/":
                return web.Response(status=401, text=ASK, content_type="text/html")
            raise web.HTTPUnauthorized(text="expected the view's token: open its page first")

        return guard

    def _check_origin(self, request: Any) -> None:
        if self._token is None and host_name(request.host) not in HOSTS:
            raise web.HTTPForbidden(text="this view answers on 127.0.0.1 and localhost only")
        if _is_of_another_site(request):
            raise web.HTTPForbidden(text="this view answers its own page only")

    async def _log_in(self, request: Any) -> Any:
        given = (await request.post()).get("token", "")
        if not (isinstance(given, str) and self._matches(given.strip())):
            return web.Response(status=401, text=ASK, content_type="text/html")
        response = web.Response(status=303, headers={"Location": "./"})
        self._remember(response)
        return response

    def _is_known(self, request: Any) -> bool:
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._matches(bearer.strip()):
            return True
        return self._matches(request.cookies.get(self._cookie, ""))

    def _matches(self, given: str) -> bool:
        """Compare in a time that does not tell how much of it is right."""
        return hmac.compare_digest(given.encode(errors="replace"), (self._token or "").encode())

    def _remember(self, response: Any) -> None:
        response.set_cookie(self._cookie, self._token, httponly=True, samesite="Lax", path="/")


async def add_headers(request: Any, response: Any) -> None:
    """Tell browsers to refuse other sites too; for an application's `on_response_prepare`."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


def http_log(name: str) -> logging.Logger:
    """Return the web server's logger, without clients' faults: half a request, malformed data."""
    log = logging.getLogger(name)
    if not log.filters:
        log.addFilter(_is_our_fault)
    return log


def host_name(host: str) -> str | None:
    """Return the name of a Host header or an origin, without its port, in lower case."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return None


def _is_our_fault(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    faults = (
        http_exceptions.HttpProcessingError,
        web.RequestPayloadError,
        ConnectionError,
        EOFError,
        TimeoutError,
    )
    return not isinstance(error, faults)


def _is_of_another_site(request: Any) -> bool:
    headers = request.headers
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        # by a link, in a tab of its own, and changing nothing
        is_opened = headers.get("Sec-Fetch-Dest") == "document" and request.method in READS
        return site not in OWN_SITE and not is_opened
    origin = headers.get("Origin")  # of a browser that does not name the site
    return origin is not None and _place(origin) != request.host.lower()


def _place(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None
