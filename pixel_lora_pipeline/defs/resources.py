"""What assets need from the outside, built from configuration when a run starts."""

import dagster as dg

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.configured_trainer import configured_trainer
from pixel_lora_pipeline.embedded.loading import WEIGHTS
from pixel_lora_pipeline.notify import channel_ids
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.train.trainers import Trainer
from pixel_lora_pipeline.validate import Generator, Suite, load_suite
from pixel_lora_pipeline.validate.semantic import SemanticScorer


@dg.resource(description="Everything a user can set, from the environment and pixel_lora.toml.")
def settings_resource() -> Settings:
    """The configuration of this process."""
    return Settings()


@dg.resource(required_resource_keys={"settings"}, description="The database and the folder of images.")
def store_resource(context: dg.InitResourceContext) -> Store:
    """The store of the configured database."""
    settings: Settings = context.resources.settings
    if settings.database_url is None:
        raise dg.Failure(
            "DATABASE_URL is not set. Start Dagster with `pixel-lora up`, which starts the embedded database and "
            "sets it, or set it to your own Postgres."
        )
    return Store(settings.database_url.get_secret_value(), settings.home / "images", channel_ids(settings.notify))


@dg.resource(required_resource_keys={"settings"}, description="The base model that paints the test images.")
def generator_resource(context: dg.InitResourceContext) -> Generator:
    """The generator; the base model is loaded at the first image."""
    settings: Settings = context.resources.settings
    return Generator(
        settings.base_model or WEIGHTS,
        device=settings.device,
        allow_downloads=settings.allow_downloads,
        strength=settings.lora_strength,
    )


@dg.resource(required_resource_keys={"settings"}, description="The prompts that every checkpoint is tested with.")
def suite_resource(context: dg.InitResourceContext) -> Suite:
    """The configured prompt suite."""
    settings: Settings = context.resources.settings
    return load_suite(settings.suite)


@dg.resource(required_resource_keys={"settings"}, description="The CLIP model that says how well images fit prompts.")
def semantic_scorer_resource(context: dg.InitResourceContext) -> SemanticScorer | None:
    """The scorer, loaded at the first image; None where no CLIP model is configured."""
    settings: Settings = context.resources.settings
    return None if settings.clip_model is None else SemanticScorer(settings.clip_model)


@dg.resource(required_resource_keys={"settings"}, description="What trains the experiments of a campaign.")
def trainer_resource(context: dg.InitResourceContext) -> Trainer:
    """The configured trainer."""
    settings: Settings = context.resources.settings
    return configured_trainer(settings)


resources = {
    "settings": settings_resource,
    "store": store_resource,
    "generator": generator_resource,
    "suite": suite_resource,
    "semantic_scorer": semantic_scorer_resource,
    "trainer": trainer_resource,
}
