"""Test images, one row each: table `prompt_test_results`; their files lie in the image store."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pixel_lora_pipeline.store.database import Database, RowId
from pixel_lora_pipeline.store.image_store import ImageStore
from pixel_lora_pipeline.store.metrics_versions import keep_image_metrics
from pixel_lora_pipeline.store.values import canonical_json, clean_text, jsonb

if TYPE_CHECKING:
    from pixel_lora_pipeline.validate.generate import GeneratedImage


Purpose = Literal["evaluation", "strength", "sample"]
"""Why an image was painted: to evaluate its checkpoint, to show it at another strength of the LoRA, or by the trainer
while it trained. Only those of one purpose are read together."""


@dataclass(frozen=True)
class TestImage:
    """A generated image on its way into the store.

    Attributes
    ----------
    fingerprint
        Everything that shaped the image: model and LoRA hashes, prompt, seed, size, steps, versions, …
    png
        The encoded file.
    warnings
        What was odd about it (black, generated again in float32, …); empty as a rule.
    fault
        Why it shows nothing that could be measured; None as a rule.
    """

    __test__ = False  # the name is no invitation to pytest

    suite_name: str
    suite_version: str
    prompt_id: str
    prompt: str
    negative_prompt: str
    seed: int
    width: int
    height: int
    fingerprint: Mapping[str, Any]
    png: bytes
    warnings: tuple[str, ...] = ()
    fault: str | None = None
    purpose: Purpose = "evaluation"

    @classmethod
    def of(
        cls, image: "GeneratedImage", suite_name: str, suite_version: str, purpose: Purpose = "evaluation"
    ) -> "TestImage":
        """What the generator painted, as an image of a suite."""
        request = image.request
        return cls(
            suite_name=suite_name,
            suite_version=suite_version,
            prompt_id=request.prompt_id,
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            seed=request.seed,
            width=request.width,
            height=request.height,
            fingerprint=image.fingerprint,
            png=image.png,
            warnings=image.warnings,
            fault=None if image.fault is None else str(image.fault),
            purpose=purpose,
        )


@dataclass(frozen=True)
class StoredImage:
    """A generated image, as `prompt_test_results` knows it.

    `image_sha256` names its file, and `snapped_sha256` that of its copy on its own grid, one pixel a cell, where it has
    a grid.
    """

    id: RowId
    suite_name: str
    suite_version: str
    prompt_id: str
    prompt: str
    negative_prompt: str
    seed: int
    width: int
    height: int
    fingerprint: dict[str, Any]
    fingerprint_hash: str
    image_sha256: str
    warnings: tuple[str, ...]
    fault: str | None
    metrics: dict[str, Any] | None
    metrics_version: str | None
    snapped_sha256: str | None = None

    @property
    def strength(self) -> float | None:
        """Multiplier of the LoRA with which it was painted; None without a LoRA, or where nobody kept it."""
        strength = (self.fingerprint.get("lora") or {}).get("strength")
        return float(strength) if isinstance(strength, int | float) else None


def fingerprint_hash(fingerprint: Mapping[str, Any]) -> str:
    """The SHA-256 of a fingerprint in hexadecimal, whatever the order of its keys."""
    return hashlib.sha256(canonical_json(fingerprint).encode()).hexdigest()


class Images:
    """The images of each epoch, and, with None for the epoch, those of the base model alone."""

    def __init__(self, database: Database, files: ImageStore) -> None:
        self._database = database
        self._files = files

    def add(self, epoch_id: RowId | None, images: Iterable[TestImage]) -> None:
        """Store images: first the files, then their rows, all of them or none. Add them as they are made.

        An image whose fingerprint the epoch has already replaces the older one; its metrics are kept only if
        the picture is the same to the byte.
        """
        rows = [
            {
                "epoch": epoch_id,
                "suite_name": image.suite_name,
                "suite_version": image.suite_version,
                "prompt_id": image.prompt_id,
                "prompt": clean_text(image.prompt),
                "negative_prompt": clean_text(image.negative_prompt),
                "seed": image.seed,
                "fingerprint": jsonb(image.fingerprint),
                "fingerprint_hash": fingerprint_hash(image.fingerprint),
                "image_sha256": self._files.put(image.png),
                "width": image.width,
                "height": image.height,
                "warnings": [clean_text(warning) for warning in image.warnings],
                "fault": image.fault,
                "purpose": image.purpose,
            }
            for image in images
        ]
        # In one order for everybody, so that two who add the same images wait in line and not crosswise.
        rows.sort(key=lambda row: str(row["fingerprint_hash"]))
        with self._database.connection() as connection:
            connection.cursor().executemany(
                """
                INSERT INTO prompt_test_results (
                    epoch_result_id, suite_name, suite_version, prompt_id, prompt, negative_prompt, seed,
                    fingerprint, fingerprint_hash, image_sha256, width, height, warnings, fault, purpose, created_at)
                VALUES (
                    %(epoch)s, %(suite_name)s, %(suite_version)s, %(prompt_id)s, %(prompt)s,
                    %(negative_prompt)s, %(seed)s, %(fingerprint)s, %(fingerprint_hash)s, %(image_sha256)s,
                    %(width)s, %(height)s, %(warnings)s, %(fault)s, %(purpose)s, now())
                ON CONFLICT (epoch_result_id, fingerprint_hash) WHERE fingerprint_hash IS NOT NULL
                DO UPDATE SET
                    suite_name = excluded.suite_name, suite_version = excluded.suite_version,
                    prompt_id = excluded.prompt_id, image_sha256 = excluded.image_sha256,
                    warnings = excluded.warnings, fault = excluded.fault, created_at = excluded.created_at,
                    purpose = excluded.purpose,
                    metrics = CASE WHEN prompt_test_results.image_sha256 = excluded.image_sha256
                                   THEN prompt_test_results.metrics END,
                    metrics_version = CASE WHEN prompt_test_results.image_sha256 = excluded.image_sha256
                                           THEN prompt_test_results.metrics_version END,
                    snapped_sha256 = CASE WHEN prompt_test_results.image_sha256 = excluded.image_sha256
                                          THEN prompt_test_results.snapped_sha256 END
                """,
                rows,
            )

    def of_epoch(
        self, epoch_id: RowId | None, suite_version: str | None = None, *, purpose: Purpose = "evaluation"
    ) -> list[StoredImage]:
        """All images of an epoch of one purpose, or those of one version of the suite; by prompt and seed."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """
                SELECT id, suite_name, suite_version, prompt_id, prompt, negative_prompt, seed, width, height,
                       fingerprint, fingerprint_hash, image_sha256, warnings, fault, metrics, metrics_version,
                       snapped_sha256
                FROM prompt_test_results
                WHERE epoch_result_id IS NOT DISTINCT FROM %(epoch)s AND fingerprint_hash IS NOT NULL
                  AND purpose = %(purpose)s AND (%(suite)s::text IS NULL OR suite_version = %(suite)s)
                ORDER BY prompt_id, seed, id
                """,
                {"epoch": epoch_id, "suite": suite_version, "purpose": purpose},
            )
            return [StoredImage(**{**row, "warnings": tuple(row["warnings"])}) for row in rows]

    def known_fingerprints(self, epoch_id: RowId | None, *, purpose: Purpose = "evaluation") -> set[str]:
        """Hashes of the fingerprints that an epoch has images of, leaving out images whose file is gone."""
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT fingerprint_hash, image_sha256 FROM prompt_test_results "
                "WHERE epoch_result_id IS NOT DISTINCT FROM %s AND fingerprint_hash IS NOT NULL AND purpose = %s",
                (epoch_id, purpose),
            )
            return {row["fingerprint_hash"] for row in rows if self._files.has(row["image_sha256"])}

    def set_metrics(
        self,
        metrics: Mapping[RowId, Mapping[str, Any]],
        metrics_version: str,
        snapped: Mapping[RowId, bytes] | None = None,
    ) -> None:
        """Store what was measured on images, by the id of their rows; what other versions measured is kept beside it.

        Parameters
        ----------
        snapped
            The PNG of the copy on its own grid, of those that have one.
        """
        copies = {image_id: self._files.put(png) for image_id, png in (snapped or {}).items()}
        with self._database.connection() as connection:
            connection.cursor().executemany(
                "UPDATE prompt_test_results SET metrics = %s, metrics_version = %s, snapped_sha256 = %s WHERE id = %s",
                [
                    (jsonb(measured), metrics_version, copies.get(image_id), image_id)
                    for image_id, measured in metrics.items()
                ],
            )
            keep_image_metrics(connection, metrics, metrics_version)
