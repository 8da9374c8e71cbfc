"""Who may use the web server: only requests that know its secret token."""

import hmac
import ipaddress
import secrets
import socket
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

_REFUSED = "Refused: open the address that `slm-tui serve` printed, with its token.\n"
# Nothing from elsewhere is loaded, and no other page may show this one.
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Access:
    """Checks each request: the token in the address of the page, then the cookie it sets.

    The cookie has another secret than the address. A browser sends it with every request to this
    machine, also to other ports, so its name has the port.

    Args:
        host: the name or address that the server is bound to.
        port: its port.
    """

    def __init__(self, host: str, port: int) -> None:
        self.token = secrets.token_urlsafe(32)
        self._cookie = secrets.token_urlsafe(32)
        self._cookie_name = f"slm_tui_{port}"
        self._names = {"localhost", host.lower(), socket.gethostname().lower()}

    def why_refused(self, request: web.Request) -> str:
        """Why `request` must not be answered; empty if it may be."""
        if not self._is_own_host(request.host):
            return "another host name"
        origin = request.headers.get("Origin")
        is_websocket = request.headers.get("Upgrade", "").lower() == "websocket"
        if is_websocket and origin is None:
            return "no origin"
        if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
            return "another origin"
        return "" if self._has_secret(request) else "no token"

    def _has_secret(self, request: web.Request) -> bool:
        token = request.query.get("token")
        # A token in the address counts even if the browser has a cookie.
        if request.path == "/" and token is not None:
            return _is_equal(token, self.token)
        return _is_equal(request.cookies.get(self._cookie_name, ""), self._cookie)

    def _is_own_host(self, host: str) -> bool:
        """A name that resolves to this machine only in a browser (DNS rebinding) is refused.

        Any IP address is accepted: it cannot be rebound. So is any port, which differs behind a
        tunnel.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in self._names:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def set_cookie(self, response: web.StreamResponse) -> None:
        """Let the page that `response` contains make further requests."""
        response.set_cookie(
            self._cookie_name, self._cookie, httponly=True, samesite="Strict", path="/"
        )


def _is_equal(given: str, secret: str) -> bool:
    """Compared in constant time; `surrogatepass`, because anything may have been sent."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), secret.encode())


def guarded(access: Access) -> web.Application:
    """An application without routes that answers 403 to every request without access."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if why := access.why_refused(request):
            raise web.HTTPForbidden(text=_REFUSED, headers={"X-Refused": why})
        return await handler(request)

    async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)

    application = web.Application(middlewares=[guard])
    application.on_response_prepare.append(add_headers)
    return application
