"""Who may enter: a user with a password, or whoever has the token."""

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Final, Self

from pixel_lora_pipeline.config import Settings

_COOKIE: Final = "pixel_lora_login"
_SECONDS: Final = 12 * 3600  # a working day


@dataclass(frozen=True)
class Known:
    """Somebody who may enter, and headers for the answer to them."""

    name: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Login:
    """Recognises people by HTTP's own login (RFC 7617), scripts by a bearer token (RFC 6750).

    Whoever has logged in gets a signed cookie as well: some browsers open websockets without the login. The key of
    its signature lives as long as the process.

    Parameters
    ----------
    passwords
        By user; a token is the password of any user whose name is not among these.
    """

    challenge: Final = b'Basic realm="Pixel LoRA Pipeline", charset="UTF-8"'

    def __init__(self, passwords: Mapping[str, str], token: str | None = None) -> None:
        self._passwords = dict(passwords)
        self._token = token
        self._key = secrets.token_bytes(32)

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """As configured; None if nobody has to log in."""
        password, token = settings.login_password, settings.login_token
        if password is None and token is None:
            return None
        passwords = {} if password is None else {settings.login_user: password.get_secret_value()}
        return cls(passwords, None if token is None else token.get_secret_value())

    def by_password(self, headers: Mapping[str, Sequence[str]]) -> Known | None:
        """Who has sent a password or the token, by their headers in lower case; None if it is a wrong one."""
        for value in headers.get("authorization", ()):
            scheme, _, credentials = value.partition(" ")
            name = self._named(scheme.lower(), credentials.strip())
            if name is not None:
                return Known(name, ((b"set-cookie", self._cookie(name)),) if scheme.lower() == "basic" else ())
        return None

    def by_cookie(self, headers: Mapping[str, Sequence[str]]) -> Known | None:
        """Who has logged in before, by their headers in lower case; None if nobody has."""
        for value in headers.get("cookie", ()):
            name = self._by_cookie(value)
            if name is not None:
                return Known(name)
        return None

    def _named(self, scheme: str, credentials: str) -> str | None:
        if scheme == "bearer":
            return "token" if self._token is not None and _same(credentials, self._token) else None
        if scheme != "basic":
            return None
        try:
            user, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        # Every secret is compared, so that the time says neither which users there are nor how close a guess was.
        is_user = [_same(user, name) & _same(password, known) for name, known in self._passwords.items()]
        has_token = self._token is not None and _same(password, self._token)
        return user or "token" if any(is_user) or has_token else None

    def _cookie(self, name: str) -> bytes:
        payload = f"{base64.urlsafe_b64encode(name.encode()).decode()}.{int(time.time()) + _SECONDS}"
        value = f"{payload}.{self._signature(payload)}"
        return f"{_COOKIE}={value}; Path=/; Max-Age={_SECONDS}; HttpOnly; SameSite=Strict".encode()

    def _by_cookie(self, header: str) -> str | None:
        try:
            morsel = SimpleCookie(header).get(_COOKIE)
        except CookieError:
            return None
        payload, _, signature = (morsel.value if morsel else "").rpartition(".")
        if not _same(signature, self._signature(payload)):
            return None
        name, _, expires = payload.partition(".")
        return base64.urlsafe_b64decode(name).decode() if int(expires) > time.time() else None

    def _signature(self, payload: str) -> str:
        return hmac.new(self._key, payload.encode(), hashlib.sha256).hexdigest()


def _same(one: str, other: str) -> bool:
    """In a time that does not depend on where they differ, nor on their lengths."""
    return hmac.compare_digest(hashlib.sha256(one.encode()).digest(), hashlib.sha256(other.encode()).digest())
