"""What stands before every request: who may ask, how much, and what a browser may do with it."""

import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 2**20

_COOKIE = "hex-ai"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

# Everything comes from this server, and nothing else may be asked, framed or run.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class _TooLarge(Exception):
    """A body goes on beyond what is read."""


class Guard:
    """Lets a request through to the page, or refuses it.

    Without a token only this machine's own names are taken as `Host`, so that no foreign name can
    be made to point here. With one, whoever has it may come from anywhere.

    Args:
      app: the page.
      token: what the first address of a visitor must hold, or empty.
    """

    def __init__(self, app: ASGIApp, token: str = "") -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, _with_headers(send))
            return
        try:
            await self._app(scope, _bounded(receive), _with_headers(send))
        except _TooLarge:
            response = _error(413, f"the body is larger than {MAX_BODY} bytes")
            await response(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        if not self._token and _name_of(headers.get("host", "")) not in _LOOPBACK:
            return _error(403, "this page is for this machine alone")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            return _error(403, "another page must not ask here")
        if self._token and not self._is_known(headers):
            return self._introduced(scope)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY:
            return _error(413, f"the body is larger than {MAX_BODY} bytes")
        return None

    def _is_known(self, headers: Headers) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(_COOKIE)
        except CookieError:
            return False
        return cookie is not None and self._fits(cookie.value)

    def _fits(self, word: str) -> bool:
        return hmac.compare_digest(word.encode(), self._token.encode())

    def _introduced(self, scope: Scope) -> Response:
        """The way on for a visitor whose address holds the token: without it, and remembered."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        if not self._fits(query.pop("token", [""])[0]):
            return _error(403, "want the address that `hex-ai serve` has printed")
        rest = urlencode(query, doseq=True)
        response = RedirectResponse(scope["path"] + (f"?{rest}" if rest else ""), 303)
        response.set_cookie(_COOKIE, self._token, httponly=True, samesite="strict")
        return response


def _name_of(host: str) -> str:
    """The name in a `Host` header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _error(status: int, reason: str) -> Response:
    return JSONResponse({"error": reason}, status)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(HEADERS)
        await send(message)

    return sending


def _bounded(receive: Receive) -> Receive:
    """A body is read as far as `MAX_BODY`, whatever its headers say."""
    read = 0

    async def receiving() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > MAX_BODY:
            raise _TooLarge
        return message

    return receiving
