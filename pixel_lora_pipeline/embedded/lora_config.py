"""What a LoRA training is told: Kohya's parameter names, typed, and checked before anything is loaded.

Every parameter that is accepted does what Kohya's trainer does with it. A parameter that Kohya knows and this
trainer does not do is accepted at Kohya's default, which asks for nothing, and refused at any other value.
"""

import ast
import difflib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from pixel_lora_pipeline.train.parameter_table import default_value, parameter_table, typed_value

OPTIMIZER_ARGUMENTS: Final[dict[str, frozenset[str]]] = {
    "AdamW": frozenset({"betas", "eps", "weight_decay", "amsgrad"}),
    "SGD": frozenset({"momentum", "dampening", "weight_decay", "nesterov"}),
    "Adafactor": frozenset(
        {"eps", "clip_threshold", "decay_rate", "beta1", "weight_decay", "scale_parameter", "relative_step"}
    ),
}
# Of Kohya's `key=value` network arguments, those that this trainer applies.
NETWORK_ARGUMENTS: Final = ("conv_dim", "conv_alpha", "rank_dropout", "module_dropout")

_MAX_RANK: Final = 1024


class ConfigError(ValueError):
    """A training configuration that cannot be followed; `problems` holds one sentence for each fault."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("The training configuration cannot be followed:\n  " + "\n  ".join(self.problems))


def _canonical_optimizer(value: object) -> object:
    """Kohya compares optimizer names without regard to case, and takes AdamW for an empty one."""
    names = {name.lower(): name for name in OPTIMIZER_ARGUMENTS} | {"": "AdamW"}
    return names.get(value.lower(), value) if isinstance(value, str) else value


def _assignments(value: object) -> object:
    """`key=value` texts, also of a mapping, as a checkpoint's header gives them back."""
    if isinstance(value, Mapping):
        return tuple(f"{key}={_assigned(part)}" for key, part in value.items())
    return (value,) if isinstance(value, str) else value


def _assigned(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _single(value: object) -> object:
    """Kohya's TOML files give the one text encoder's rate as a list."""
    return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value


def _steps_or_share(value: object) -> object:
    if not isinstance(value, float) or value < 1:
        return value
    if not value.is_integer():
        raise ValueError("must be a whole number of steps, or below 1 the share of all steps")
    return int(value)


def _width_height(value: object) -> object:
    try:
        return typed_value(parameter_table()["resolution"], value)
    except ValueError as error:
        raise ValueError("must be a width and a height, as in '64,64'") from error


def _file_name(value: str) -> str:
    if not value or value.startswith(".") or any(character in "/\\" or character < " " for character in value):
        raise ValueError("must be a file name: no folder, no dot in front")
    return value


Rate = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Rank = Annotated[int, Field(ge=1, le=_MAX_RANK)]


class LoraConfig(BaseModel):
    """A training configuration under Kohya's names, with Kohya's defaults.

    Four defaults are ours, because this trainer exists to have every epoch evaluated: a name for the output,
    every epoch saved, in float16, and `network_module`, which Kohya requires.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    pretrained_model_name_or_path: Path | None = Field(
        default=None, description="Diffusers folder of the base model; without one the embedded model."
    )
    train_data_dir: Path | None = Field(
        default=None, description="Folder of `N_name` folders with pictures, each shown N times an epoch."
    )
    output_dir: Path | None = Field(default=None, description="Where the checkpoints are written.")
    output_name: Annotated[str, AfterValidator(_file_name)] = Field(default="lora", max_length=120)
    training_comment: str | None = Field(default=None, description="Free text, kept in the header.")
    save_model_as: Literal["safetensors"] = "safetensors"
    save_precision: Literal["float", "fp16", "bf16"] = "fp16"
    save_every_n_epochs: Count = Field(default=1, description="The last epoch is always saved.")

    network_module: Literal["networks.lora"] = "networks.lora"
    network_dim: Rank = Field(default=4, description="Rank of linear layers and 1×1 convolutions.")
    network_alpha: float = Field(default=1.0, ge=0, description="The update is scaled by alpha/rank; 0: by 1.")
    conv_dim: Rank | None = Field(default=None, description="Rank of 3×3 convolutions; without one they are left.")
    conv_alpha: float | None = Field(default=None, ge=0, description="As network_alpha; 1 if only conv_dim is set.")
    network_dropout: Probability | None = None
    rank_dropout: Probability | None = None
    module_dropout: Probability | None = None
    network_train_unet_only: bool = False
    network_train_text_encoder_only: bool = False
    network_weights: Path | None = Field(default=None, description="LoRA file to go on from.")

    learning_rate: Rate = 2e-6
    unet_lr: Rate | None = Field(default=None, description="Rate of the U-Net; 0 leaves it untrained.")
    text_encoder_lr: Annotated[Rate | None, BeforeValidator(_single)] = None
    lr_scheduler: Literal[
        "constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial"
    ] = "constant"
    lr_warmup_steps: Annotated[int | Annotated[float, Field(lt=1)], BeforeValidator(_steps_or_share)] = Field(
        default=0, ge=0, description="Steps, or below 1 the share of all steps."
    )
    lr_scheduler_num_cycles: Count = 1
    lr_scheduler_power: float = Field(default=1.0, gt=0)
    optimizer_type: Annotated[Literal["AdamW", "SGD", "Adafactor"], BeforeValidator(_canonical_optimizer)] = "AdamW"
    optimizer_args: Annotated[tuple[str, ...], BeforeValidator(_assignments)] = ()
    max_train_epochs: Count | None = None
    max_train_steps: Count = Field(default=1600, description="Without effect if max_train_epochs is set.")
    train_batch_size: Count = 1
    gradient_accumulation_steps: Count = 1
    max_grad_norm: float = Field(default=1.0, ge=0, description="0 switches clipping off.")
    scale_weight_norms: float | None = Field(default=None, gt=0)
    seed: int | None = Field(default=None, ge=0, le=2**32)

    caption_extension: str = Field(default=".caption", pattern=r"^\.[^/\\]+$")
    shuffle_caption: bool = False
    keep_tokens: int = Field(default=0, ge=0, le=255)
    caption_dropout_rate: Share = 0.0
    caption_dropout_every_n_epochs: int = Field(default=0, ge=0)
    caption_tag_dropout_rate: Share = 0.0
    num_repeats: Count | None = Field(default=None, description="Instead of the N of every `N_name` folder.")

    resolution: Annotated[tuple[int, int] | None, BeforeValidator(_width_height)] = Field(
        default=None, description="Width and height; the base model's, the only size it can do."
    )
    resize_interpolation: Literal["nearest"] = Field(
        default="nearest", description="Other pictures are scaled by nearest neighbour and cut at the centre."
    )
    flip_aug: bool = False
    color_aug: bool = False
    cache_latents: bool = False

    noise_offset: float | None = Field(default=None, ge=0)
    min_snr_gamma: float | None = Field(default=None, gt=0)
    loss_type: Literal["l1", "l2", "huber", "smooth_l1"] = "l2"
    huber_schedule: Literal["constant", "exponential", "snr"] = "snr"
    huber_c: float = Field(default=0.1, gt=0)
    huber_scale: float = Field(default=1.0, gt=0)

    v_parameterization: bool | None = Field(
        default=None, description="What the base model predicts; if set, it has to agree with the base model."
    )
    mixed_precision: Literal["no"] = "no"
    max_token_length: Literal[75] | None = None
    clip_skip: Literal[1] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.network_train_unet_only and self.network_train_text_encoder_only:
            raise ValueError(
                "network_train_unet_only and network_train_text_encoder_only are both true: drop one of them"
            )
        if self.lr_scheduler == "constant" and self.lr_warmup_steps:
            raise ValueError(
                f"lr_warmup_steps = {self.lr_warmup_steps}: the constant schedule has no warm-up; "
                "set lr_scheduler = 'constant_with_warmup'"
            )
        if self.cache_latents and self.color_aug:
            raise ValueError("cache_latents and color_aug are both true: cached pictures keep their colours; drop one")
        self.optimizer_arguments()
        return self

    def optimizer_arguments(self) -> dict[str, Any]:
        """`optimizer_args` as keyword arguments.

        Raises
        ------
        ValueError
            If one is not `key=value` with a Python literal, or not an argument of the optimizer.
        """
        known = OPTIMIZER_ARGUMENTS[self.optimizer_type]
        arguments: dict[str, Any] = {}
        for text in self.optimizer_args:
            key, _, value = text.partition("=")
            if key not in known:
                raise ValueError(f"optimizer_args: {text!r}: {self.optimizer_type} takes {', '.join(sorted(known))}")
            try:
                arguments[key] = ast.literal_eval(value)
            except (ValueError, SyntaxError) as error:
                raise ValueError(f"optimizer_args: {text!r}: what follows the = has to be a number") from error
        if self.optimizer_type == "Adafactor" and arguments.get("relative_step") is not False:
            raise ValueError(
                "optimizer_type = 'Adafactor': its own step sizes would replace learning_rate; "
                "add 'relative_step=False' to optimizer_args"
            )
        return arguments

    @property
    def network_args(self) -> dict[str, str]:
        """The arguments that Kohya takes as `network_args`, as its header has them: texts."""
        values = {name: getattr(self, name) for name in NETWORK_ARGUMENTS}
        return {name: f"{value:g}" for name, value in values.items() if value is not None}

    def inert(self) -> list[str]:
        """What is set and, as in Kohya's trainer, changes nothing in this combination; a sentence each."""
        found = []
        if self.keep_tokens and not (self.shuffle_caption or self.caption_tag_dropout_rate):
            found.append("keep_tokens does nothing without shuffle_caption or caption_tag_dropout_rate")
        if self.lr_scheduler_num_cycles != 1 and self.lr_scheduler != "cosine_with_restarts":
            found.append("lr_scheduler_num_cycles does nothing without lr_scheduler = 'cosine_with_restarts'")
        if self.lr_scheduler_power != 1 and self.lr_scheduler != "polynomial":
            found.append("lr_scheduler_power does nothing without lr_scheduler = 'polynomial'")
        if self.conv_alpha is not None and self.conv_dim is None:
            found.append("conv_alpha does nothing without conv_dim")
        if self.text_encoder_lr is not None and self.network_train_unet_only:
            found.append("text_encoder_lr does nothing with network_train_unet_only")
        if self.unet_lr is not None and self.network_train_text_encoder_only:
            found.append("unet_lr does nothing with network_train_text_encoder_only")
        if self.max_train_epochs is not None and "max_train_steps" in self.model_fields_set:
            found.append("max_train_steps does nothing with max_train_epochs")
        huber = self.model_fields_set & {"huber_schedule", "huber_c", "huber_scale"}
        if huber and self.loss_type not in ("huber", "smooth_l1"):
            found.append(f"{', '.join(sorted(huber))}: nothing without loss_type = 'huber' or 'smooth_l1'")
        elif self.huber_scale != 1 and self.huber_schedule == "snr":
            found.append("huber_scale does nothing with huber_schedule = 'snr'")
        return found

    def to_toml(self) -> str:
        """The configuration as a TOML file of Kohya's, which `load_config` reads back.

        Everything is written that is set, defaults too: a reader learns what the header leaves out.
        """
        values = {name: getattr(self, name) for name in type(self).model_fields if name not in NETWORK_ARGUMENTS}
        if self.max_train_epochs is not None:
            del values["max_train_steps"]
        if self.resolution is not None:
            values["resolution"] = "{},{}".format(*self.resolution)  # the one form that Kohya's parser takes
        values["network_args"] = [f"{key}={value}" for key, value in self.network_args.items()]
        return "".join(f"{name} = {_toml(value)}\n" for name, value in values.items() if value not in (None, (), []))


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case list() | tuple():
            return f"[{', '.join(_toml(part) for part in value)}]"
        case _:  # a JSON string is a TOML string, but for DEL
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def read_config(values: Mapping[str, object]) -> LoraConfig:
    """A configuration from Kohya's names and values; None stands for "not set", as in Kohya's own defaults.

    `network_args` and `optimizer_args` may be lists of `key=value` or mappings. The network arguments may
    also stand beside the others (`conv_dim = 4`).

    Raises
    ------
    ConfigError
        With every fault: name, value, and what is allowed.
    """
    problems: list[str] = []
    given: dict[str, object] = dict(values)
    for name, text in _network_arguments(given.pop("network_args", None), problems):
        if given.get(name) is not None and str(given[name]) != text:
            problems.append(f"{name} = {given[name]!r}: network_args says {text}; keep one of them")
        given[name] = text
    accepted: dict[str, object] = {}
    for name, value in given.items():
        if name not in LoraConfig.model_fields:
            problems.extend(_not_ours(name, value))
        elif value is not None:
            accepted[name] = value
    try:
        config = LoraConfig.model_validate(accepted)
    except ValidationError as error:
        raise ConfigError([*problems, *_faults(error)]) from error
    if problems:
        raise ConfigError(problems)
    return config


def load_config(path: Path) -> LoraConfig:
    """A configuration from a TOML file as Kohya's `--config_file` takes it: sections do not count.

    Raises
    ------
    ConfigError
        If the file cannot be read, is no TOML, or holds what this trainer cannot follow.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([f"{path} cannot be read: {error.strerror}"]) from error
    except ValueError as error:  # TOML and encoding faults alike
        raise ConfigError([f"{path} is no TOML file: {error}"]) from error
    flat: dict[str, object] = {}
    for name, value in content.items():
        flat |= value if isinstance(value, dict) and name not in ("network_args", "optimizer_args") else {name: value}
    return read_config(flat)


def _network_arguments(raw: object, problems: list[str]) -> Iterator[tuple[str, str]]:
    texts = _assignments(raw) if raw is not None else ()
    if not isinstance(texts, list | tuple):
        problems.append(f"network_args = {raw!r}: must be a list of 'key=value'")
        return
    for text in texts:
        name, assigned, value = str(text).partition("=")
        if name == "dropout" and value in ("None", ""):  # what Kohya adds to the header by itself
            continue
        if not assigned or name not in NETWORK_ARGUMENTS:
            nearest = difflib.get_close_matches(name, NETWORK_ARGUMENTS, n=1)
            hint = f"; did you mean {nearest[0]}?" if nearest else ""
            problems.append(f"network_args: {text!r}: this trainer takes {', '.join(NETWORK_ARGUMENTS)}{hint}")
            continue
        yield name, value


def _not_ours(name: str, value: object) -> Iterator[str]:
    parameter = parameter_table().get(name)
    if parameter is not None and parameter.section != "derived":
        if value is None or _is_default(name, value):
            return
        yield (
            f"{name} = {value!r}: Kohya knows it ({parameter.meaning}), this trainer does not do it; "
            "remove it, or train with Kohya's scripts"
        )
        return
    nearest = difflib.get_close_matches(name, LoraConfig.model_fields, n=1)
    yield f"{name} = {value!r}: no such parameter{f'; did you mean {nearest[0]}?' if nearest else ''}"


def _is_default(name: str, value: object) -> bool:
    parameter = parameter_table()[name]
    try:
        return typed_value(parameter, value) == default_value(parameter)
    except ValueError:
        return False


def _faults(error: ValidationError) -> Iterator[str]:
    seen: set[str] = set()
    for fault in error.errors():
        message = fault["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        name = str(fault["loc"][0]) if fault["loc"] else ""
        if name in seen:  # a union reports one fault for each of its members
            continue
        seen.add(name)
        yield f"{name} = {fault['input']!r}: {message}" if name else message
