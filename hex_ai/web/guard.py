"""What stands before every request: who may ask, how much, and what a browser may do with it."""

import asyncio
import hmac
import re
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hex_ai.web.answers import fault, refusal

MAX_BODY = 2**20

# Seconds that a visitor may take nothing of an answer.
STALLED_SECONDS = 120.0

_OWN_HOST = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{0,5})?", re.IGNORECASE)
_LENGTH = re.compile("[0-9]{1,20}")
_TOO_LARGE = f"the body is larger than {MAX_BODY} bytes"

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


class _Stalled(Exception):
    """A visitor does not take the answer."""


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
        refused = self._refusal(scope, headers)
        if refused is not None:
            await refused(scope, receive, _Sending(send))
            return
        sending = _Sending(send)
        try:
            await self._app(scope, _bounded(receive), sending)
        except (ClientDisconnect, _Stalled):
            return
        except _TooLarge:
            answered = refusal(413, _TOO_LARGE)
        except Exception as error:  # noqa: BLE001 - one answer fails, and the server goes on
            answered = refusal(500, fault(error))
        else:
            return
        if not sending.begun:
            await answered(scope, receive, sending)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if not self._token and not _OWN_HOST.fullmatch(host):
            return refusal(403, "this page is for this machine alone")
        ours = (f"http://{host}".lower(), f"https://{host}".lower())
        if any(origin.lower() not in ours for origin in headers.getlist("origin")):
            return refusal(403, "another page must not ask here")
        asks_by_token = b"token=" in scope["query_string"]
        if self._token and (asks_by_token or not self._is_known(_cookie_of(scope), headers)):
            return self._introduced(scope)
        length = headers.get("content-length", "0")
        if not _LENGTH.fullmatch(length) or int(length) > MAX_BODY:
            return refusal(413, _TOO_LARGE)
        return None

    def _is_known(self, name: str, headers: Headers) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(name)
        except CookieError:
            return False
        return cookie is not None and self._fits(cookie.value)

    def _fits(self, word: str) -> bool:
        return hmac.compare_digest(word.encode(), self._token.encode())

    def _introduced(self, scope: Scope) -> Response:
        """The way on for a visitor whose address holds the token: without it, and remembered."""
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if not self._fits(query.pop("token", [""])[0]):
            return refusal(403, "want the address that `hex-ai serve` has printed")
        rest = urlencode(query, doseq=True)
        place = "/" + quote(scope["path"].lstrip("/"))  # two slashes would lead to another server
        response = RedirectResponse(place + (f"?{rest}" if rest else ""), 303)
        response.set_cookie(_cookie_of(scope), self._token, httponly=True, samesite="strict")
        return response


def _cookie_of(scope: Scope) -> str:
    """A browser keeps cookies by host, where several servers may be, each on its port."""
    _, port = scope.get("server") or ("", 0)
    return f"hex-ai-{port}"


class _Sending:
    """Sends an answer with `HEADERS`, to a visitor who takes it.

    Attributes:
      begun: whether a part of it has been sent.
    """

    def __init__(self, send: Send) -> None:
        self._send, self.begun = send, False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(HEADERS)
        self.begun = True
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                await self._send(message)
        except TimeoutError as error:
            raise _Stalled from error


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
