"""Sends what is due in the outbox, through apprise, and writes down how it went.

apprise is imported when something is sent: that takes a moment, and most processes only add messages.
"""

import logging
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import unquote, urlsplit

from pixel_lora_pipeline.notify.channels import Channel
from pixel_lora_pipeline.store import Event, Notification, Notifications
from pixel_lora_pipeline.train.errors import printable

if TYPE_CHECKING:
    from apprise.plugins import NotifyBase
    from apprise.result import AppriseResult

MOST_ATTEMPTS: Final = 8

FIRST_WAIT_SECONDS: Final = 30.0
WAIT_GROWTH: Final = 4.0
LONGEST_WAIT_SECONDS: Final = 6 * 3600.0
"""The seven waits add up to some 15 hours: a mail server that is down overnight loses no message."""

SEND_SECONDS: Final = 20.0
PASS_SECONDS: Final = 25.0
"""After this, a pass begins no further sending: with the last one it stays below the minute that a sensor may take."""

MOST_AT_ONCE: Final = 25
MOST_SINGLE: Final = 4
"""More messages than this that are due at once for one channel go out as one: nobody reads twenty mails."""

_SENDERS_DIED: Final = "Every process that tried to send it ended before it was done."
_LONGEST_ERROR: Final = 400
_SHORTEST_SECRET, _LONG_SECRET = 3, 8
_DISCARD: Final = logging.NullHandler()
_TELLING: Final = ("Socket Exception:", "Response Details:")  # what apprise says of a failure only when debugging

_TONES: Final[dict[Event, Literal["info", "success", "warning", "failure"]]] = {
    "converged": "success",
    "best_epoch": "success",
    "degrading": "warning",
    "checkpoint_refused": "warning",
    "budget": "warning",
    "machine_news": "warning",
    "machine_alarm": "failure",
    "run_failed": "failure",
    "weekly_report": "info",
    "test": "info",
}


class SendError(RuntimeError):
    """A message did not arrive: says why, without the secrets of the address."""


@dataclass(frozen=True)
class Delivery:
    """How the sending of one message went.

    Attributes
    ----------
    error
        None if it has arrived.
    given_up
        True if it is not tried again.
    """

    notification: Notification
    error: str | None
    given_up: bool


def deliver(
    notifications: Notifications,
    channels: Sequence[Channel],
    *,
    send_seconds: float = SEND_SECONDS,
    pass_seconds: float = PASS_SECONDS,
) -> list[Delivery]:
    """Send what is due, channel by channel, and return how it went with each message.

    A channel that fails is left alone for the rest of the pass, so it costs the others no more than one time limit.
    """
    end = time.monotonic() + pass_seconds
    deliveries: list[Delivery] = []
    for channel in channels:
        error: str | None = None
        while error is None and time.monotonic() < end:
            together = MOST_AT_ONCE if notifications.due(channel.id) > MOST_SINGLE else 1
            claimed = notifications.claim(channel.id, together)
            if not claimed:
                break
            letter = [message for message in claimed if message.attempts <= MOST_ATTEMPTS]
            error = _attempt(channel, letter, send_seconds) if letter else None
            deliveries += [_recorded(notifications, message, error) for message in letter]
            worn_out = [message for message in claimed if message.attempts > MOST_ATTEMPTS]
            deliveries += [_recorded(notifications, message, _SENDERS_DIED) for message in worn_out]
    return deliveries


def send(channel: Channel, event: Event, subject: str, body: str, seconds: float = SEND_SECONDS) -> None:
    """Send one message now.

    Raises
    ------
    SendError
        If it did not arrive within the time limit. When that ran out, it may still arrive.
    """
    from apprise import Apprise, NotifyFormat

    service = _service(channel)
    result = Apprise(services=service).notify(
        body=body,
        title=subject,
        notify_type=_TONES[event],
        body_format=NotifyFormat.TEXT,  # what it holds of markup is text, for each service to escape
        timeout=seconds,
        log_level=logging.DEBUG,
    )
    if not result:
        raise SendError(_without_secrets(_reason(result), channel, service))


def service_name(channel: Channel) -> str:
    """What kind of service an address belongs to, as people call it.

    Raises
    ------
    SendError
        If the address is none that apprise can use.
    """
    return str(_service(channel).service_name)


def waiting_seconds(attempts: int, chance: float) -> float:
    """How long to wait after a number of failed attempts.

    Parameters
    ----------
    chance
        0 to 1; spreads messages that failed together over 75 to 125 % of the time.
    """
    longest = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * WAIT_GROWTH ** (attempts - 1))
    return longest * (0.75 + 0.5 * chance)


def _attempt(channel: Channel, letter: list[Notification], seconds: float) -> str | None:
    """Send what goes out together; the reason if that failed."""
    first = letter[0]
    subject, body = first.subject, first.body
    if len(letter) > 1:
        subject = f"{len(letter)} messages: {first.subject}, …"
        body = "\n\n".join(f"{message.subject}\n{message.body}" for message in letter)
    try:
        send(channel, first.event, subject, body, seconds)
    except SendError as error:
        return str(error)
    return None


def _recorded(notifications: Notifications, message: Notification, error: str | None) -> Delivery:
    if error is None:
        notifications.mark_sent(message)
        return Delivery(message, None, given_up=False)
    given_up = message.attempts >= MOST_ATTEMPTS
    wait = waiting_seconds(message.attempts, random.random())  # noqa: S311 - no secret hangs on it
    notifications.mark_failed(message, error, None if given_up else wait)
    return Delivery(message, error, given_up)


def _service(channel: Channel) -> "NotifyBase":
    from apprise import Apprise, AppriseAsset
    from apprise.exception import AppriseException

    # apprise's log quotes parts of addresses: what matters of it comes with each result, and nothing goes further.
    logger = logging.getLogger("apprise")
    logger.propagate = False
    logger.addHandler(_DISCARD)
    logger.setLevel(logging.DEBUG)
    asset = AppriseAsset(app_id="Pixel LoRA Pipeline", app_desc="Pixel LoRA Pipeline", app_url="", image_url_mask="")
    remedy = "Correct it in `notify`; https://appriseit.com/services says how each service's address is written."
    try:
        service = Apprise.instantiate(channel.address.get_secret_value().strip(), asset, suppress_exceptions=False)
    except (AppriseException, TypeError, ValueError) as error:
        reason = _without_secrets(str(error), channel, None)
        raise SendError(f"The address of {channel.id} cannot be used: {reason} {remedy}") from None
    if service is None:
        raise SendError(f"The address of {channel.id} names no service that apprise knows. {remedy}")
    return service


def _reason(result: "AppriseResult") -> str:
    entries = [entry for entry in result.logs() if entry.level in ("WARNING", "ERROR", "CRITICAL")]
    details = [entry for entry in result.logs() if entry.message.startswith(_TELLING)]
    said = " ".join([*(entry.message for entry in entries), *(_innermost(entry.message) for entry in details)])
    return said or f"The service answered nothing that could be understood ({result.status.name.lower()})."


def _innermost(detail: str) -> str:
    """The end of a chain of errors, which urllib3 writes after a long beginning."""
    return detail.rpartition("Caused by ")[2]


def _without_secrets(text: str, channel: Channel, service: "NotifyBase | None") -> str:
    """What may be shown of a text that may quote an address: anything but the address' parts.

    Only the host stays readable, and only where apprise itself does not hide it: for some services it is a token.
    """
    shown_host = None if service is None else urlsplit(_public_address(service)).hostname
    for part in _parts(channel.address.get_secret_value()):
        if part.lower() != shown_host:
            # A short part may by chance also be within a word of the text.
            pattern = re.escape(part) if len(part) >= _LONG_SECRET else rf"(?<!\w){re.escape(part)}(?!\w)"
            text = re.sub(pattern, "…", text)
    return printable(" ".join(text.split()), _LONGEST_ERROR)


def _public_address(service: "NotifyBase") -> str:
    return str(service.url(privacy=True))  # type: ignore[no-untyped-call]


def _parts(address: str) -> list[str]:
    """User, password, host, path and parameters of an address, as they are and decoded, the longest first."""
    place, _, query = address.strip().partition("://")[2].partition("?")
    values = [pair.partition("=")[2] for pair in re.split("[&#]", query)]
    written = {address.strip(), *re.split(r"[/:@#&,\s]+", place), *values}
    found = written | {unquote(part) for part in written}
    return sorted((part for part in found if len(part) >= _SHORTEST_SECRET), key=len, reverse=True)
