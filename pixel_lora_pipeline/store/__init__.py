from collections.abc import Sequence
from pathlib import Path

from pixel_lora_pipeline.store.ab_tests import (
    ABCase,
    ABJudge,
    ABModel,
    ABTest,
    ABTestEndedError,
    ABTests,
    JudgeError,
    ShownPair,
    UnknownABTestError,
    VoteRefusedError,
)
from pixel_lora_pipeline.store.analyses import Analyses, DueRun
from pixel_lora_pipeline.store.auto_stop import AutoStop, AutoStopError, KillSwitch, StopDecision, WatchedMachine
from pixel_lora_pipeline.store.baselines import Baseline, Baselines, NoBaselineError
from pixel_lora_pipeline.store.billing_records import BillingRecords
from pixel_lora_pipeline.store.budgets import Budget, Budgets
from pixel_lora_pipeline.store.campaigns import Campaign, CampaignError, Campaigns
from pixel_lora_pipeline.store.captions import CaptionBatch, CaptionRow, Captions, CaptionVersion, SyncedCaptions
from pixel_lora_pipeline.store.checkpoints import Checkpoints, StoredCheckpoint, UnknownCheckpointError
from pixel_lora_pipeline.store.conclusions import Conclusions, EvaluatedEpoch, NothingEvaluatedError, RunRow
from pixel_lora_pipeline.store.database import Database, DatabaseError, RowId
from pixel_lora_pipeline.store.depths import Depths, EpochDepth
from pixel_lora_pipeline.store.dump import DumpError, dump_database, restore_database
from pixel_lora_pipeline.store.embedded_postgres import EmbeddedPostgresError, embedded_postgres
from pixel_lora_pipeline.store.epochs import EpochRow, Epochs, UnknownEpochError, UnknownRunError
from pixel_lora_pipeline.store.experiments import (
    Experiment,
    Experiments,
    ExperimentStateError,
    UnknownExperimentError,
)
from pixel_lora_pipeline.store.gpu_prices import GpuPrices
from pixel_lora_pipeline.store.gpu_usage import GpuUsage, Subject, TimedRun
from pixel_lora_pipeline.store.image_store import ImageStore, ImageStoreError
from pixel_lora_pipeline.store.images import Images, StoredImage, TestImage, fingerprint_hash
from pixel_lora_pipeline.store.kept_connections import KeptConnections
from pixel_lora_pipeline.store.knowledge import Knowledge, StoredReport
from pixel_lora_pipeline.store.lab_events import LabEvents
from pixel_lora_pipeline.store.landed_files import LandedFile, LandedFiles, UnknownFileError
from pixel_lora_pipeline.store.lineage import Lineage, LineageError, RunOrigin
from pixel_lora_pipeline.store.metrics_versions import MeasuredEpoch, MetricsVersions
from pixel_lora_pipeline.store.migrations import MigrationError, SchemaState, check, migrate
from pixel_lora_pipeline.store.notifications import Event, Message, Notification, Notifications
from pixel_lora_pipeline.store.overview import (
    EpochSummary,
    EpochUnderWay,
    ExplainedImage,
    Overview,
    RunSummary,
    ShownImage,
    Trouble,
)
from pixel_lora_pipeline.store.predictions import Predictions, StoredPrediction
from pixel_lora_pipeline.store.quarantine import Quarantine, RefusedCheckpoint
from pixel_lora_pipeline.store.release_folder import Release, ReleaseError, ReleaseFolder
from pixel_lora_pipeline.store.results import EpochIssues, Results, RunResult
from pixel_lora_pipeline.store.runs import DescribedRun, Runs
from pixel_lora_pipeline.store.suites import Suites, UnknownSuiteError
from pixel_lora_pipeline.store.urls import DatabaseUrlError, dagster_url, normalize_url, without_password

__all__ = [
    "ABCase",
    "ABJudge",
    "ABModel",
    "ABTest",
    "ABTestEndedError",
    "ABTests",
    "Analyses",
    "AutoStop",
    "AutoStopError",
    "Baseline",
    "Baselines",
    "BillingRecords",
    "Budget",
    "Budgets",
    "Campaign",
    "CampaignError",
    "Campaigns",
    "CaptionBatch",
    "CaptionRow",
    "CaptionVersion",
    "Captions",
    "Checkpoints",
    "Conclusions",
    "Database",
    "DatabaseError",
    "DatabaseUrlError",
    "Depths",
    "DescribedRun",
    "DueRun",
    "DumpError",
    "EmbeddedPostgresError",
    "EpochDepth",
    "EpochIssues",
    "EpochRow",
    "EpochSummary",
    "EpochUnderWay",
    "Epochs",
    "EvaluatedEpoch",
    "Event",
    "Experiment",
    "ExperimentStateError",
    "Experiments",
    "ExplainedImage",
    "GpuPrices",
    "GpuUsage",
    "ImageStore",
    "ImageStoreError",
    "Images",
    "JudgeError",
    "KillSwitch",
    "Knowledge",
    "LabEvents",
    "LandedFile",
    "LandedFiles",
    "Lineage",
    "LineageError",
    "MeasuredEpoch",
    "Message",
    "MetricsVersions",
    "MigrationError",
    "NoBaselineError",
    "NothingEvaluatedError",
    "Notification",
    "Notifications",
    "Overview",
    "Predictions",
    "Quarantine",
    "RefusedCheckpoint",
    "Release",
    "ReleaseError",
    "ReleaseFolder",
    "Results",
    "RowId",
    "RunOrigin",
    "RunResult",
    "RunRow",
    "RunSummary",
    "Runs",
    "SchemaState",
    "ShownImage",
    "ShownPair",
    "StopDecision",
    "Store",
    "StoredCheckpoint",
    "StoredImage",
    "StoredPrediction",
    "StoredReport",
    "Subject",
    "Suites",
    "SyncedCaptions",
    "TestImage",
    "TimedRun",
    "Trouble",
    "UnknownABTestError",
    "UnknownCheckpointError",
    "UnknownEpochError",
    "UnknownExperimentError",
    "UnknownFileError",
    "UnknownRunError",
    "UnknownSuiteError",
    "VoteRefusedError",
    "WatchedMachine",
    "check",
    "dagster_url",
    "dump_database",
    "embedded_postgres",
    "fingerprint_hash",
    "migrate",
    "normalize_url",
    "restore_database",
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
    channels
        Ids of those who want to hear of news, see `Notifications`.
    keep_connections
        For programs that answer many short questions; others hold no connection while they work.

    Raises
    ------
    DatabaseUrlError
        If the address cannot be used.
    """

    def __init__(self, url: str, images: Path, channels: Sequence[str] = (), *, keep_connections: bool = False) -> None:
        self.database: Database = KeptConnections(url) if keep_connections else Database(url)
        self.image_files = ImageStore(images)
        self.ab_tests = ABTests(self.database)
        self.analyses = Analyses(self.database)
        self.baselines = Baselines(self.database)
        self.billing_records = BillingRecords(self.database)
        self.budgets = Budgets(self.database)
        self.campaigns = Campaigns(self.database)
        self.captions = Captions(self.database)
        self.checkpoints = Checkpoints(self.database)
        self.epochs = Epochs(self.database)
        self.depths = Depths(self.database)
        self.suites = Suites(self.database)
        self.images = Images(self.database, self.image_files)
        self.metrics_versions = MetricsVersions(self.database)
        self.notifications = Notifications(self.database, channels)
        self.auto_stop = AutoStop(self.database, self.notifications)
        self.conclusions = Conclusions(self.database, self.notifications)
        self.experiments = Experiments(self.database)
        self.predictions = Predictions(self.database)
        self.gpu_prices = GpuPrices(self.database)
        self.gpu_usage = GpuUsage(self.database)
        self.runs = Runs(self.database)
        self.results = Results(self.database)
        self.knowledge = Knowledge(self.database, self.notifications)
        self.quarantine = Quarantine(self.database, self.notifications)
        self.landed_files = LandedFiles(self.database)
        self.lab_events = LabEvents(self.database)
        self.lineage = Lineage(self.database)
        self.overview = Overview(self.database)
