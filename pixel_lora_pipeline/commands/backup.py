"""`pixel-lora backup` and `restore`: everything that cannot be made again, in one file."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pixel_lora_pipeline.config import Settings


def backup(
    file: Annotated[
        Path | None, typer.Argument(help="Where it is written; by default here, named by the time.", dir_okay=False)
    ] = None,
) -> None:
    """Write the database, images, reports and released models into one file; the pipeline may go on."""
    from pixel_lora_pipeline.backup import BackupError, back_up
    from pixel_lora_pipeline.configured_store import configured_database
    from pixel_lora_pipeline.store import DumpError, MigrationError

    settings = Settings()
    target = (file or Path(f"pixel-lora-{datetime.now(UTC):%Y%m%d-%H%M%S}.zip")).absolute()
    if not target.parent.is_dir():
        raise typer.BadParameter(f"{target.parent} is no folder.")
    with configured_database(settings) as url:
        try:
            back_up(url, settings.home, target, typer.echo)
        except (BackupError, DumpError, MigrationError) as error:
            raise typer.BadParameter(str(error)) from error
    typer.echo(f"{target}: {target.stat().st_size / 1e6:.1f} MB")


def restore(
    file: Annotated[Path, typer.Argument(help="What `pixel-lora backup` has written.", exists=True, dir_okay=False)],
) -> None:
    """Fill an empty database and home from a backup."""
    from pixel_lora_pipeline import backup as backups
    from pixel_lora_pipeline.configured_store import configured_database
    from pixel_lora_pipeline.store import DumpError, MigrationError

    settings = Settings()
    with configured_database(settings) as url:
        try:
            backups.restore(url, settings.home, file, typer.echo)
        except (backups.BackupError, DumpError, MigrationError) as error:
            raise typer.BadParameter(str(error)) from error
    typer.echo(f"Restored into {settings.home}. Go on with `pixel-lora up`.")
