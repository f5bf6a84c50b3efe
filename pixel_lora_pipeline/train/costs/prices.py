"""What GPUs and storage cost by the hour and month, where that was read, and when."""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pixel_lora_pipeline.train.costs.usage import Storage

SHIPPED: Final = Path(__file__).parent.parent / "prices.toml"
OLD_AFTER: Final = timedelta(days=30)
"""Prices change within weeks: an H100 became 21 % dearer in twelve of them, in the autumn of 2026."""

# Words of a GPU's name that some lists have and others leave out.
_NO_PART_OF_A_NAME: Final = re.compile(r"\b(nvidia|geforce|amd|instinct|tesla|oam|hbm3e?|\d+ ?gb)\b")


class PriceTableError(ValueError):
    """A table of prices cannot be read: says where, why, and what to do."""


@dataclass(frozen=True)
class Price:
    """What an hour of a GPU costs.

    Attributes
    ----------
    gpu, gpu_id
        As people call it, and as the provider calls it in orders.
    cloud
        Which offer of the provider's: "secure", "community"; "" where there is one only.
    source
        Who says so, in a few words.
    retrieved
        When it was last seen to be so.
    valid_from, valid_until
        Half-open; None where it is not known, or still so.
    """

    provider: str
    gpu: str
    cloud: str
    usd_per_hour: Decimal
    source: str
    source_url: str
    retrieved: date
    gpu_id: str = ""
    valid_from: datetime | None = None
    valid_until: datetime | None = None

    @property
    def basis(self) -> str:
        """On what a cost rests that was calculated with it."""
        offer = " ".join(part for part in (self.provider, self.cloud, self.gpu) if part)
        return f"list price of {self.retrieved.isoformat()}: {offer} ${self.usd_per_hour} an hour ({self.source})"


@dataclass(frozen=True)
class StoragePrice:
    """What a gigabyte costs for a month; attributes as of `Price`."""

    provider: str
    storage: Storage
    usd_per_gb_month: Decimal
    source: str
    source_url: str
    retrieved: date

    @property
    def basis(self) -> str:
        """On what a cost rests that was calculated with it."""
        return (
            f"list price of {self.retrieved.isoformat()}: {self.provider} {self.storage} ${self.usd_per_gb_month} a "
            f"gigabyte and month ({self.source})"
        )


@dataclass(frozen=True)
class NoPrice:
    """Why there is none; a cost that rests on it is unknown, and never 0."""

    reason: str


@dataclass(frozen=True)
class PriceBook:
    """All prices that are known.

    Attributes
    ----------
    prices
        Of one GPU there may be several, at different times and from different sources: the one last retrieved of those
        that were valid at a time counts, else the one that was retrieved nearest to it.
    storage
        Of storage.
    """

    prices: tuple[Price, ...] = ()
    storage: tuple[StoragePrice, ...] = ()

    def with_own(self, own: "PriceBook") -> "PriceBook":
        """This book with what somebody has written in a table of their own, which counts whatever its date."""
        gpus = {(price.provider.casefold(), _plain(price.gpu), price.cloud) for price in own.prices}
        disks = {(price.provider.casefold(), price.storage) for price in own.storage}
        return PriceBook(
            own.prices
            + tuple(
                price
                for price in self.prices
                if (price.provider.casefold(), _plain(price.gpu), price.cloud) not in gpus
            ),
            own.storage
            + tuple(price for price in self.storage if (price.provider.casefold(), price.storage) not in disks),
        )

    def with_catalogue(self, prices: Iterable[Price]) -> "PriceBook":
        """This book with prices that a provider's catalogue has given; of the same day they count before others."""
        return PriceBook((*prices, *self.prices), self.storage)

    def at(self, moment: datetime, provider: str | None, gpu: str | None, cloud: str | None) -> Price | NoPrice:
        """The list price of a GPU at a moment."""
        if provider is None or gpu is None:
            missing = "GPU" if provider is not None else "provider" if gpu is not None else "machine"
            return NoPrice(f"the {missing} is not known: see [costs] of pixel_lora.toml")
        found = [
            price
            for price in self.prices
            if _same(price.provider, provider) and _plain(gpu) in (_plain(price.gpu), _plain(price.gpu_id))
        ]
        if not found:
            return NoPrice(f"no price of {provider} for {gpu!r} is known: `pixel-lora costs refresh`, or a price table")
        if cloud is not None:
            found = [price for price in found if _same(price.cloud, cloud)]
            if not found:
                return NoPrice(f"no price of {provider} {cloud} for {gpu!r} is known: `pixel-lora costs refresh`")
        clouds = sorted({price.cloud for price in found})
        if len(clouds) > 1:
            return NoPrice(f"whether {gpu!r} was {' or '.join(clouds)} is not known, and they differ: set `cloud`")
        valid = [price for price in found if _is_valid(price, moment)]
        if valid:
            return max(valid, key=lambda price: price.retrieved)
        return min(found, key=lambda price: abs(moment.astimezone(UTC).date() - price.retrieved))

    def of_storage(self, provider: str | None, storage: Storage) -> StoragePrice | NoPrice:
        """The list price of storage."""
        found = [price for price in self.storage if price.storage == storage and _same(price.provider, provider or "")]
        if not found:
            return NoPrice(f"no price of {provider or 'an unknown provider'} for a {storage} is known")
        return max(found, key=lambda price: price.retrieved)

    def changes(self) -> list[datetime]:
        """Moments at which a price may become another."""
        return sorted(
            {moment for price in self.prices for moment in (price.valid_from, price.valid_until) if moment is not None}
        )

    def old(self, today: date, providers: Iterable[str]) -> list[Price]:
        """Prices of these providers that nobody has seen for a month; newer ones of the same GPU excuse them."""
        newest: dict[tuple[str, str, str], Price] = {}
        asked = {provider.casefold() for provider in providers}
        for price in self.prices:
            if price.provider.casefold() in asked and price.valid_until is None:
                key = (price.provider, _plain(price.gpu), price.cloud)
                newest[key] = max(newest.get(key, price), price, key=lambda each: each.retrieved)
        return [price for price in newest.values() if today - price.retrieved > OLD_AFTER]


def read_prices(path: Path) -> PriceBook:
    """A table of prices, in TOML as `train/prices.toml`.

    Raises
    ------
    PriceTableError
        If it cannot be read, or a row has no source or no date.
    """
    try:
        table = _Table.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PriceTableError(f"{path} cannot be read as a table of prices: {error}") from error
    except ValidationError as faults:
        first = faults.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise PriceTableError(f"{path}, {place}: {first['msg']}. Write rows as train/prices.toml has them.") from faults
    return PriceBook(
        tuple(Price(**row.model_dump()) for row in table.gpu),
        tuple(StoragePrice(**row.model_dump()) for row in table.storage),
    )


@cache
def shipped_prices() -> PriceBook:
    """The table that comes with the pipeline."""
    return read_prices(SHIPPED)


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str = Field(min_length=1)
    source: str = Field(min_length=1)
    source_url: str = Field(min_length=1)
    retrieved: date


class _GpuRow(_Row):
    gpu: str = Field(min_length=1)
    gpu_id: str = ""
    cloud: str = ""
    usd_per_hour: Decimal = Field(ge=0)


class _StorageRow(_Row):
    storage: Storage
    usd_per_gb_month: Decimal = Field(ge=0)


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    gpu: tuple[_GpuRow, ...] = ()
    storage: tuple[_StorageRow, ...] = ()


def _is_valid(price: Price, moment: datetime) -> bool:
    begins = price.valid_from or datetime(price.retrieved.year, price.retrieved.month, price.retrieved.day, tzinfo=UTC)
    return begins <= moment and (price.valid_until is None or moment < price.valid_until)


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


@lru_cache(maxsize=1024)
def _plain(gpu: str) -> str:
    """The same for "NVIDIA A100-SXM4-80GB" and "A100 SXM", for "NVIDIA H100 80GB HBM3" and "H100 SXM"."""
    name = " ".join(re.split(r"[\W_]+", gpu.casefold()))
    if "h100" in name and "hbm3" in name:
        name += " sxm"
    return " ".join(re.sub(r"sxm\d", "sxm", _NO_PART_OF_A_NAME.sub(" ", name)).split())
