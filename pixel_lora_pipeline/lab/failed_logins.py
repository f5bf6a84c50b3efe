"""How many wrong passwords somebody may try: so few that guessing is hopeless, and a person never notices."""

import ipaddress
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

MOST_FAILED: Final = 10
"""Wrong passwords from one address within `WITHIN_SECONDS`; then none is looked at until the first is that old."""

WITHIN_SECONDS: Final = 60.0

# So that somebody with many addresses cannot fill the memory; those that were quiet longest are forgotten first.
_MOST_ADDRESSES: Final = 10_000
# A household gets a whole network of so many bits, and may change its address in it at will (RFC 6177).
_NETWORK_BITS: Final = 64


class FailedLogins:
    """Remembers by address when a login has failed.

    Parameters
    ----------
    clock
        Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def add(self, address: str) -> None:
        """One has failed just now."""
        whose = _whose(address)
        times = self._times.setdefault(whose, deque(maxlen=MOST_FAILED))
        times.append(self._clock())
        self._times.move_to_end(whose)
        while len(self._times) > _MOST_ADDRESSES:
            self._times.popitem(last=False)

    def seconds_to_wait(self, address: str) -> int:
        """For how long no password from there is looked at; 0 if one may be tried."""
        times = self._times.get(_whose(address))
        if times is None or len(times) < MOST_FAILED:
            return 0
        return max(0, math.ceil(times[0] + WITHIN_SECONDS - self._clock()))


def _whose(address: str) -> str:
    try:
        known = ipaddress.ip_address(address)
    except ValueError:  # a socket of this machine has none
        return address
    if isinstance(known, ipaddress.IPv6Address) and known.ipv4_mapped is None:
        return str(ipaddress.IPv6Network((known, _NETWORK_BITS), strict=False))
    return address
