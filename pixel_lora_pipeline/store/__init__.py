from pathlib import Path

from pixel_lora_pipeline.store.checkpoints import Checkpoints, StoredCheckpoint, UnknownCheckpointError
from pixel_lora_pipeline.store.database import Database, DatabaseError, RowId
from pixel_lora_pipeline.store.embedded_postgres import EmbeddedPostgresError, embedded_postgres
from pixel_lora_pipeline.store.epochs import EpochRow, Epochs, UnknownEpochError, UnknownRunError
from pixel_lora_pipeline.store.image_store import ImageStore, ImageStoreError
from pixel_lora_pipeline.store.images import Images, StoredImage, TestImage, fingerprint_hash
from pixel_lora_pipeline.store.landed_files import LandedFile, LandedFiles, UnknownFileError
from pixel_lora_pipeline.store.migrations import MigrationError, SchemaState, check, migrate
from pixel_lora_pipeline.store.quarantine import Quarantine, RefusedCheckpoint
from pixel_lora_pipeline.store.urls import DatabaseUrlError, dagster_url, normalize_url, without_password

__all__ = [
    "Checkpoints",
    "Database",
    "DatabaseError",
    "DatabaseUrlError",
    "EmbeddedPostgresError",
    "EpochRow",
    "Epochs",
    "ImageStore",
    "ImageStoreError",
    "Images",
    "LandedFile",
    "LandedFiles",
    "MigrationError",
    "Quarantine",
    "RefusedCheckpoint",
    "RowId",
    "SchemaState",
    "Store",
    "StoredCheckpoint",
    "StoredImage",
    "TestImage",
    "UnknownCheckpointError",
    "UnknownEpochError",
    "UnknownFileError",
    "UnknownRunError",
    "check",
    "dagster_url",
    "embedded_postgres",
    "fingerprint_hash",
    "migrate",
    "normalize_url",
    "without_password",
]


class Store:
    """All that is kept: the database, one attribute a family of tables, and the image files.

    Parameters
    ----------
    url
        Address of a migrated Postgres database.
    images
        Folder of the image files; made when the first is stored.

    Raises
    ------
    DatabaseUrlError
        If the address cannot be used.
    """

    def __init__(self, url: str, images: Path) -> None:
        self.database = Database(url)
        self.image_files = ImageStore(images)
        self.checkpoints = Checkpoints(self.database)
        self.epochs = Epochs(self.database)
        self.images = Images(self.database, self.image_files)
        self.quarantine = Quarantine(self.database)
        self.landed_files = LandedFiles(self.database)
