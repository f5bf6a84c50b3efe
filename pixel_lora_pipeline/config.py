"""Everything a user can set: environment variables win over `pixel_lora.toml`, which wins over the defaults."""

import ipaddress
from pathlib import Path
from typing import Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

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


class Settings(BaseSettings):
    """Typed configuration, read once at start and passed down.

    Variables are prefixed `PIXEL_LORA_` (`PIXEL_LORA_WATCHED='["/runs"]'`), except `DATABASE_URL`, which
    hosting services set under that name.
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
    watched: list[Path] = Field(
        default_factory=list,
        description="Folders in which trainings leave their checkpoints; without one the demo trains its own.",
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
    search_space: Path | None = Field(
        default=None,
        description="What experiments may set (TOML, as improve/search_space.toml); without one, the roadmap's space.",
    )
    time_zone: str = Field(
        default="UTC",
        description="Name of the time zone in which the weekly report comes on Monday at 08:00, as Europe/Berlin.",
    )
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
    def trainings(self) -> Path:
        """Folder in which the trainings that we start leave their checkpoints, each in a folder of its own."""
        return self.home / "trainings"

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
