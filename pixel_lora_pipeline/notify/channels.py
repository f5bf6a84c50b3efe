"""Where messages go: addresses that hold secrets, and ids that do not."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

_SERVICE: Final = re.compile(r"[a-z][a-z0-9]*")
_PASSWORD: Final = re.compile(r"^([^:/?#]*):[^/?#]*@")  # of user:password@host
_PASSWORD_PARAMETER: Final = re.compile(r"([?&]pass(?:word)?=)[^&#]*", re.IGNORECASE)


@dataclass(frozen=True)
class Channel:
    """One address to which messages go.

    Attributes
    ----------
    address
        An apprise URL: `mailto://…`, `slack://…`, `json://…`.
    """

    id: str
    address: SecretStr


def channel_id(address: str) -> str:
    """The name under which the database and people know an address: its service and a short hash.

    A password takes no part in it: a short hash of a short secret would help to guess it, and messages that wait
    for a mailbox go out when its password was corrected.
    """
    service, separator, rest = address.strip().partition("://")
    if not separator or _SERVICE.fullmatch(service.lower()) is None:
        service, rest = "unreadable", address
    public = _PASSWORD_PARAMETER.sub(r"\1", _PASSWORD.sub(r"\1@", rest))
    digest = hashlib.sha256(public.encode("utf-8", "replace")).hexdigest()
    return f"{service.lower()}-{digest[:8]}"


def channel_ids(addresses: Sequence[SecretStr]) -> list[str]:
    """The ids of configured addresses."""
    return [channel.id for channel in configured_channels(addresses)]


def configured_channels(addresses: Sequence[SecretStr]) -> list[Channel]:
    """Channels of configured addresses, in order; an address that is there twice counts once."""
    channels: dict[str, Channel] = {}
    for address in addresses:
        name = channel_id(address.get_secret_value())
        channels.setdefault(name, Channel(name, address))
    return list(channels.values())
