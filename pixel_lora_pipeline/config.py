"""Everything a user can set: environment variables win over `pixel_lora.toml`, which wins over the defaults."""

import ipaddress
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from pixel_lora_pipeline.remote_url import checked_url, folder_name, is_remote_url

PROJECT_ROOT = Path(__file__).resolve().parent.parent


class DepthSettings(BaseModel):
    """How thoroughly each epoch is looked at: table `[depth]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    plan: tuple[Literal["quick", "medium", "full"], ...] | None = Field(
        default=None,
        min_length=1,
        description="The looks at the epochs of a training, stretched to its length; ['full'] looks fully at all. "
        "Without one: four quick ones, medium, quick, full, three medium ones.",
    )
    finer_where_undecided: bool = Field(
        default=True, description="Whether epochs between which the choice of the best is open get a finer look."
    )


class AutoStopSettings(BaseModel):
    """Whether and when machines of trainings are stopped: table `[auto_stop]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["off", "observe", "notify", "stop"] = Field(
        default="off",
        description="How far the guard goes: it does nothing, records what it would do, tells people as well, or stops "
        "machines. It never terminates or deletes any.",
    )
    usd_limit: float | None = Field(
        default=None, gt=0, description="US dollars that a rented machine may cost each time it runs, by default."
    )
    hours_limit: float | None = Field(
        default=None, gt=0, description="Hours that a machine may run each time it runs, by default."
    )
    hard_cap: float = Field(
        default=1.25,
        ge=1,
        description="Share of a limit at which elapsed time × highest known rate stops a machine even where nothing "
        "can be read.",
    )
    fresh_seconds: float = Field(default=120, ge=60, description="Up to this age a reading of a machine counts.")
    spending_fresh_hours: float = Field(
        default=2, gt=0, description="Up to this age an amount that was spent counts; bills come an hour late."
    )
    checkpoint_wait_minutes: float = Field(
        default=10, ge=0, description="For so long a stop waits, at most, for a checkpoint that is being written."
    )
    alarm_minutes: float = Field(
        default=5, gt=0, description="After so long without effect an alarm is sent, and again each time as much later."
    )


class MachineSettings(BaseModel):
    """A machine, as far as its price depends on it; what is left out is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str | None = Field(default=None, description="Whose it is, as `runpod`; none for a machine of one's own.")
    gpu: str | None = Field(default=None, description="As the provider's price list calls it: `A40`, `NVIDIA A40`.")
    cloud: Literal["secure", "community"] | None = Field(default=None, description="Which of RunPod's two offers.")
    usd_per_hour: Decimal | None = Field(
        default=None, ge=0, description="What an hour of it costs; without it, the list price. 0 means that it is free."
    )


class StorageSettings(BaseModel):
    """Storage that is paid for whether or not anything runs. When it is given up, say `until` and leave it here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    provider: str
    storage: Literal["container", "volume", "stopped volume", "network volume"] = "network volume"
    gigabytes: Decimal = Field(ge=0)
    since: date
    until: date | None = Field(default=None, description="The first day on which it is not there any more.")


class CostSettings(BaseModel):
    """What trainings and evaluations cost: table `[costs]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    machine: MachineSettings = Field(
        default=MachineSettings(), description="This machine: it paints test images, and trains what we start on it."
    )
    training: MachineSettings = Field(
        default=MachineSettings(), description="Where trainings ran that somebody else started, by their files alone."
    )
    training_host: str | None = Field(
        default=None,
        description="Where those trainings ran on a machine that paints test images as well, its name as `hostname` "
        "says it: then its time is shared between them, at the price of `machine`.",
    )
    monthly_budget: Decimal | None = Field(
        default=None, ge=0, description="US dollars a month, where `pixel-lora costs budget` says nothing else."
    )
    prices: Path | None = Field(
        default=None,
        description="A price table of one's own (TOML, as train/prices.toml); it counts before all others.",
    )
    storage: tuple[StorageSettings, ...] = Field(default=(), description="Storage that is held all the time.")


class KohyaSettings(BaseModel):
    """The checkout of sd-scripts that trains: table `[kohya]`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path | None = Field(default=None, description="Folder of the checkout.")
    python: Path | None = Field(
        default=None, description="Python of its environment; by default that of `venv` or `.venv` in the checkout."
    )
    accelerate_arguments: tuple[str, ...] = Field(
        default=("--num_cpu_threads_per_process=1",),
        description="Of `accelerate launch`, in front of the script. Without more it goes by your `accelerate config`.",
    )
    script: str | None = Field(
        default=None,
        description="Script in the checkout; by default train_network.py, and sdxl_train_network.py for SDXL.",
    )


class RunPodSettings(BaseModel):
    """Pods that are rented for trainings: table `[runpod]`; see docs/runpod.md."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    template_id: str | None = Field(default=None, description="Pod template that every pod is made from.")
    gpu_types: tuple[str, ...] = Field(
        default=("NVIDIA GeForce RTX 4090",),
        min_length=1,
        description="GPUs by RunPod's identifiers, the one to ask for first at the beginning.",
    )
    cloud: Literal["secure", "community"] = Field(default="secure", description="Which of RunPod's two offers.")
    checkpoints_url: Annotated[str, AfterValidator(checked_url)] | None = Field(
        default=None, description="Folder that pods and this machine share, as s3://bucket/trainings."
    )
    most_hours: float = Field(
        default=12, gt=0, description="After so long a pod ends its training and itself, whatever becomes of us."
    )


class Settings(BaseSettings):
    """Typed configuration, read once at start and passed down.

    Variables are prefixed `PIXEL_LORA_` (`PIXEL_LORA_WATCHED='["/runs"]'`), except `DATABASE_URL` and
    `RUNPOD_API_KEY`, which others know under these names.
    """

    model_config = SettingsConfigDict(
        env_prefix="PIXEL_LORA_",
        toml_file="pixel_lora.toml",
        extra="forbid",
        populate_by_name=True,
        hide_input_in_errors=True,  # a password that stands in the wrong place
    )

    home: Path = Field(
        default=PROJECT_ROOT / ".pixel_lora",
        description="Folder of everything we write: database, images, Dagster's files, the demo's checkpoints.",
    )
    database_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("DATABASE_URL", "PIXEL_LORA_DATABASE_URL", "database_url"),
        description="Postgres to use; without one the embedded server is started.",
    )
    watched: list[Path | str] = Field(
        default_factory=list,
        description="Folders in which trainings leave their checkpoints, or addresses of such, as s3://bucket/runs; "
        "without one the demo trains its own.",
    )
    base_model: str | None = Field(
        default=None,
        description="Diffusers folder, single-file checkpoint or hub name; without one the embedded model.",
    )
    allow_downloads: bool = Field(default=False, description="Whether a hub name may be fetched from the network.")
    suite: Path | list[Path] | None = Field(
        default=None,
        description="Prompt suite (TOML), or several that are asked together; the built-in one is called `portraits`, "
        "and is what is asked without any.",
    )
    depth: DepthSettings = Field(default=DepthSettings(), description="How thoroughly each epoch is looked at.")
    runpod_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("RUNPOD_API_KEY", "PIXEL_LORA_RUNPOD_API_KEY", "runpod_api_key"),
        description="Key of the RunPod account whose pods train; without one, RunPod is never asked anything.",
    )
    runpod_url: str = Field(default="https://api.runpod.io/v2", description="Where RunPod's REST API v2 is.")
    costs: CostSettings = Field(default=CostSettings(), description="What machines and storage cost.")
    clip_model: Path | None = Field(
        default=None,
        description="Folder of a CLIP model (transformers, safetensors) that scores how well images fit their prompts; "
        "without one that score is left out.",
    )
    lora_strength: float = Field(default=1.0, ge=0.0, le=2.0, description="Multiplier of the LoRA when generating.")
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    notify: list[SecretStr] = Field(
        default_factory=list,
        description="Apprise URLs (mailto://…, slack://…) that news of trainings is sent to; without one, none is.",
    )
    runpod: RunPodSettings = Field(default=RunPodSettings(), description="Pods that are rented for trainings.")
    auto_stop: AutoStopSettings = Field(
        default=AutoStopSettings(), description="Whether and when machines of trainings are stopped."
    )
    auto_stop_kill: bool = Field(
        default=False, description="Kill switch: nothing is stopped while it is set, whatever `auto_stop` says."
    )
    search_space: Path | None = Field(
        default=None,
        description="What experiments may set (TOML, as improve/search_space.toml); without one, the roadmap's space.",
    )
    time_zone: str = Field(
        default="UTC",
        description="Name of the time zone in which the weekly report comes on Monday at 08:00, as Europe/Berlin.",
    )
    trainer: Literal["embedded", "kohya", "runpod"] = Field(
        default="embedded",
        description="What trains the experiments of a campaign: the embedded model's trainer, your sd-scripts on this "
        "machine, or a rented one.",
    )
    kohya: KohyaSettings = Field(default=KohyaSettings(), description="The checkout of sd-scripts that trains.")
    host: str = Field(
        default="127.0.0.1",
        description="Address on which the lab and Dagster's UI listen; any but this machine's own needs a login.",
    )
    port: int = Field(default=3000, ge=1, le=65535, description="Port of the lab and Dagster's UI.")
    allowed_hosts: list[str] = Field(
        default_factory=list,
        description="Names under which browsers may reach the lab beside 127.0.0.1 and localhost, as gpu-box.local; "
        "one that a proxy serves on another port with that port.",
    )
    login_user: str = Field(default="pixel-lora", description="Who `login_password` belongs to.")
    login_password: SecretStr | None = Field(default=None, description="Password that browsers ask for.")
    login_token: SecretStr | None = Field(
        default=None, description="Token for scripts (Authorization: Bearer …); in browsers it is a password, too."
    )

    @property
    def watched_folders(self) -> list[Path]:
        """The watched folders on this machine; for an address, the one that it is copied to."""
        return [*(place for place in self.watched if isinstance(place, Path)), *self.watched_urls.values()]

    @property
    def watched_urls(self) -> dict[str, Path]:
        """By address of a watched folder elsewhere, the folder that it is copied to."""
        urls = [place for place in self.watched if isinstance(place, str)]
        return {url: self.home / "remote" / folder_name(url) for url in urls}

    @property
    def trainings(self) -> Path:
        """Folder in which the trainings that we start leave their checkpoints, each in a folder of its own."""
        return self.home / "trainings"

    @field_validator("watched", mode="before")
    @classmethod
    def _places(cls, places: object) -> object:
        if not isinstance(places, list):
            return places
        return [
            place if not isinstance(place, str) else checked_url(place) if is_remote_url(place) else Path(place)
            for place in places
        ]

    @field_validator("runpod_api_key")
    @classmethod
    def _key_alone(cls, key: SecretStr | None) -> SecretStr | None:
        return None if key is None or not key.get_secret_value().strip() else SecretStr(key.get_secret_value().strip())

    @field_validator("time_zone")
    @classmethod
    def _known_time_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{name!r} is no time zone: use a name as Europe/Berlin or UTC") from error
        return name

    @field_validator("login_password", "login_token")
    @classmethod
    def _not_empty(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not secret.get_secret_value():
            raise ValueError("an empty one lets everybody in: leave it out, or set a real one")
        return secret

    @model_validator(mode="after")
    def _others_log_in(self) -> Self:
        if not is_loopback(self.host) and self.login_password is None and self.login_token is None:
            raise ValueError(
                f"{self.host} can be reached from other machines, and whoever reaches it can start trainings: set "
                "PIXEL_LORA_LOGIN_PASSWORD or PIXEL_LORA_LOGIN_TOKEN, or leave PIXEL_LORA_HOST out"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the TOML file of the current folder."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on an address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
