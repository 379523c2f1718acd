"""Which requests the live view answers: those of this machine, and of no other site's pages.

A browser opens this machine's addresses for any page that asks it to. Other host names, which a
foreign page may point at this address, and requests that another site's page makes, pictures and
frames included, are refused. Behind a proxy that adds a path the page is of the proxy's own site.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from realmaster_live.optional import require

web = require("aiohttp.web", extra="live")
http_exceptions = require("aiohttp.http_exceptions", extra="live")

HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
OWN_SITE = ("same-origin", "none")  # of Sec-Fetch-Site; "none" is an address that a person opened
HEADERS = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@web.middleware  # type: ignore[untyped-decorator]
async def only_this_machine(request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
    """Refuse other host names and other sites' pages; tell browsers to do the same."""
    if _host(request.host) not in HOSTS:
        raise web.HTTPForbidden(text="this view answers on 127.0.0.1 and localhost only")
    if _is_of_another_site(request.headers, request.host):
        raise web.HTTPForbidden(text="this view shows its pictures on its own page only")
    return await handler(request)


def http_log(name: str) -> logging.Logger:
    """Return the web server's logger, without clients' faults: half a request, malformed data."""
    log = logging.getLogger(name)
    if not log.filters:
        log.addFilter(_is_our_fault)
    return log


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


def _host(host: str) -> str | None:
    """Return the name of a Host header or an origin, without its port, in lower case."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return None


def _is_of_another_site(headers: Any, host: str) -> bool:
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        is_opened = headers.get("Sec-Fetch-Dest") == "document"  # by a link, in a tab of its own
        return site not in OWN_SITE and not is_opened
    origin = headers.get("Origin")  # of a browser that does not name the site
    return origin is not None and urlsplit(origin).netloc.lower() != host.lower()
