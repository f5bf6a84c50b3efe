"""Fills the history of trainings that were there before the pipeline into the database.

What old folders, a person's notes and rows of an older database tell of the same run is brought together by the run's
identity, or by its name where only one run has it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from pixel_lora_pipeline.lineage import trace_lineage
from pixel_lora_pipeline.old_samples import MeasuredSamples, OldSample, measure_samples, sort_samples
from pixel_lora_pipeline.store import DatabaseError, Store
from pixel_lora_pipeline.store.old_runs import FilledRun, OldRuns, RunPlan
from pixel_lora_pipeline.store.runs import DescribedRun, Runs
from pixel_lora_pipeline.train import (
    CheckpointError,
    ParameterValue,
    RunFiles,
    RunIdentity,
    parameter_table,
    read_run_files,
)
from pixel_lora_pipeline.train.observations import ObservationError, RunObservation, read_observations
from pixel_lora_pipeline.train.parameter_difference import same_value
from pixel_lora_pipeline.train.parameter_table import typed_value
from pixel_lora_pipeline.train.sample_images import SampleImage, find_sample_images, folder_of_run


@dataclass(frozen=True)
class Backfill:
    """What a backfill did, or would do.

    Attributes
    ----------
    runs
        Every run that something is known of, whether or not anything changed.
    refused
        Checkpoint files that cannot be evaluated.
    problems
        Sentences: what was found and could not be filled in, and what to do.
    samples
        Of every run whose trainer left sample images.
    """

    runs: tuple[FilledRun, ...]
    refused: tuple[CheckpointError, ...]
    problems: tuple[str, ...]
    samples: tuple[MeasuredSamples, ...] = ()


def backfill(
    store: Store,
    paths: Sequence[Path],
    observations: Sequence[Path] = (),
    *,
    dry_run: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Backfill:
    """Read what is left of old runs, and complete their rows; a second time changes nothing.

    Rows that are older than the pipeline are completed too, from their own columns. Checkpoints are registered and
    not evaluated here: the sensor asks for that, once their folder is watched. Images that the trainer painted of its
    sample prompts are measured.

    Parameters
    ----------
    paths
        Folders and checkpoint files, see `read_run_files`.
    observations
        CSV or YAML files, see `read_observations`.
    dry_run
        Say what would change, and write nothing.
    on_progress
        Called with the number of checkpoint files read, and of all.

    Raises
    ------
    BackfillError
        If a path cannot be read back.
    ObservationError
        If a file of observations has a wrong line.
    """
    noted = _read_all(observations)  # first: a wrong line shows before hours of reading checkpoints
    found = read_run_files(paths, on_progress)
    plans = _Plans(Runs(store.database).find(), Counter(files.name for files in found if files.run is not None))
    for files in found:
        if files.run is not None:
            plans.add_files(files)
    names = {observation.run for observation in noted}
    for files in found:
        if files.run is None:
            plans.add_traces(files, is_noted=files.name in names)
    for observation in noted:
        plans.add_observation(observation)
    plans.add_samples(find_sample_images(path for path in paths if path.is_dir()))
    plans.add_rows()

    old_runs, runs, measured, problems = OldRuns(store.database), [], [], list(plans.problems)
    for at, plan in enumerate(plans.plans):
        samples = plans.samples.get(at, [])
        try:
            run = old_runs.fill(
                replace(plan, painted_epochs=frozenset(sample.epoch for sample in samples)), dry_run=dry_run
            )
        except (CheckpointError, DatabaseError) as error:
            problems.append(f"{plan.run_name} was left as it is: {error}")
            continue
        runs.append(run)
        if samples:
            done = measure_samples(store, run.run_name, run.run_id, run.painted, samples, dry_run=dry_run)
            measured.append(done)
            problems += done.problems
    if not dry_run:
        trace_lineage(store)
    refused = tuple(error for files in found for error in files.refused)
    return Backfill(tuple(runs), refused, tuple(problems), tuple(measured))


def _read_all(paths: Iterable[Path]) -> list[RunObservation]:
    noted: dict[str, RunObservation] = {}
    for path in paths:
        for observation in read_observations(path):
            other = noted.setdefault(observation.run, observation)
            if other is not observation:
                raise ObservationError(
                    [f"{observation.place}: {observation.run} stands at {other.place} as well; put its lines together."]
                )
    return list(noted.values())


@dataclass
class _Plans:
    """What belongs to which run, as far as it has been sorted in."""

    rows: list[DescribedRun]
    namesakes: Counter[str]  # how many runs with an identity were found of each name
    plans: list[RunPlan] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    samples: dict[int, list[OldSample]] = field(default_factory=dict)  # by the place of the plan

    def add_files(self, files: RunFiles) -> None:
        """A run whose header tells its identity."""
        assert files.run is not None  # noqa: S101 - the caller asks only for those
        key = files.run.key
        row = next((row for row in self.rows if row.document.get("run_identity") == key), None)
        if row is None:
            row = self._adoptable(files)
        self.plans.append(
            RunPlan(
                run_name=files.name if row is None else str(row.run_name),
                row_id=None if row is None else row.run_id,
                run=files.run,
                checkpoints=files.checkpoints,
                # A checkpoint that is registered writes its parameters itself.
                parameters={} if files.checkpoints else files.parameters,
                missing=files.missing,
            )
        )

    def add_traces(self, files: RunFiles, *, is_noted: bool) -> None:
        """A run of which only configurations are left, or files whose header cannot be read.

        A configuration alone is no run: it may never have been started. It counts if anything else tells of one.
        """
        candidates = self._called(files.name)
        if not candidates:
            if files.refused or is_noted:
                self.plans.append(RunPlan(files.name, parameters=files.parameters, missing=files.missing))
            else:
                self.problems.append(
                    f"{_names(files.configs)} would be of a run called {files.name}, of which there is neither a "
                    "checkpoint nor a row nor an observation. If it was trained, note it in a file of observations."
                )
        elif len(candidates) > 1:
            self.problems.append(
                f"{_names(files.configs)} was not used: {len(candidates)} runs are called {files.name}."
            )
        else:
            at = self._planned(candidates[0])
            plan = self.plans[at]
            missing = plan.missing if plan.run is not None else files.missing
            self.plans[at] = replace(plan, parameters={**files.parameters, **plan.parameters}, missing=missing)

    def add_observation(self, noted: RunObservation) -> None:
        """What a person noted of a run."""
        candidates = self._called(noted.run)
        day = str(noted.facts.get("run_date"))[:10]
        if len(candidates) > 1:
            candidates = [candidate for candidate in candidates if candidate.day == day]
            if len(candidates) != 1:
                self.problems.append(
                    f"{noted.place}: several runs are called {noted.run}, and the note was not used. Say which one is "
                    "meant by its name in the database, or with run_date by the day on which it was started."
                )
                return
        if candidates:
            at = self._planned(candidates[0])
        else:
            self.plans.append(RunPlan(noted.run))
            at = len(self.plans) - 1
        plan = self.plans[at]
        for name, found in noted.parameters.items():
            known = plan.parameters.get(name)
            if known is not None and not same_value(known.value, found.value):
                self.problems.append(
                    f"{noted.place}: {name} of {noted.run} is noted as {found.value!r}, and its files say "
                    f"{known.value!r}, which was taken."
                )
        parameters = {**noted.parameters, **plan.parameters}
        self.plans[at] = replace(plan, parameters=parameters, facts=noted.facts, epochs=noted.epochs)

    def add_samples(self, images: Sequence[SampleImage]) -> None:
        """Images that trainers painted: they belong to the run of their name that lies beside them, or is known."""
        groups: dict[tuple[Path, str | None], list[SampleImage]] = {}
        for image in images:
            groups.setdefault((folder_of_run(image), image.run_name), []).append(image)
        for (folder, name), painted in groups.items():
            at = self._painter(folder, name)
            if at is None:
                continue
            plan = self.plans[at]
            last = plan.checkpoints[-1].parameters if plan.checkpoints else {}
            samples, problems = sort_samples(painted, {**plan.parameters, **last}, _steps_per_epoch(last))
            self.samples.setdefault(at, []).extend(samples)
            self.problems += problems

    def _painter(self, folder: Path, name: str | None) -> int | None:
        """The place of the plan whose trainer painted the sample images of a folder; None, and a problem, if none."""
        beside = [
            at
            for at, plan in enumerate(self.plans)
            if any(checkpoint.path.parent == folder.absolute() for checkpoint in plan.checkpoints)
            and (name is None or plan.run is None or plan.run.name == name)
        ]
        if len(beside) == 1:
            return beside[0]
        candidates = [] if name is None else self._called(name)
        if len(candidates) == 1:
            return self._planned(candidates[0])
        what = f"The sample images in {folder} are" + (
            " of no run's name" if name is None else f" of a run called {name}"
        )
        self.problems.append(
            f"{what}, and {max(len(beside), len(candidates)) or 'none'} of the runs may be meant. They were left out: "
            "read their folder together with the run's checkpoints, or note the run in a file of observations."
        )
        return None

    def add_rows(self) -> None:
        """Rows that are older than the pipeline and that nothing was found of: their columns are parameters too."""
        planned = {plan.row_id for plan in self.plans}
        for row in self.rows:
            if row.document.get("run_identity") is not None or row.run_id in planned:
                continue
            if row.run_name:
                self.plans.append(RunPlan(row.run_name, row.run_id))
            else:
                self.problems.append(f"Row {row.run_id} of training_runs has no name, and was left as it is.")

    def _adoptable(self, files: RunFiles) -> DescribedRun | None:
        """The row that a run has already from before the pipeline: the only one of its name, if it does not object."""
        rows = [row for row in self.rows if row.run_name == files.name and "run_identity" not in row.document]
        if not rows:
            return None
        row, objection = rows[0], ""
        against = _contradictions(row, files.parameters)
        if len(rows) > 1:
            objection = f"{len(rows)} rows are called {files.name}"
        elif against:
            objection = f"the row {files.name} says {', '.join(against)}"
        elif self.namesakes[files.name] > 1 and str(row.run_date)[:10] != _day(files.run):
            objection = f"{self.namesakes[files.name]} runs are called {files.name}, and the row's date fits another"
        elif any(plan.row_id == row.run_id for plan in self.plans):
            objection = f"another run called {files.name} was started on the same day"
        if objection:
            self.problems.append(
                f"The run of {_files(files)} got a row of its own, because {objection}. If it is the run of an older "
                "row, correct that row's name, date or parameters before."
            )
            return None
        return row

    def _called(self, name: str) -> list["_Candidate"]:
        """The runs of a name: those planned, by their name in the database or their output name, and rows beside."""
        planned = {plan.row_id for plan in self.plans}
        found = [
            _Candidate(at, None, _day(plan.run))
            for at, plan in enumerate(self.plans)
            if name in (plan.run_name, plan.run.name if plan.run is not None else None)
        ]
        for row in self.rows:
            if row.run_id not in planned and name in (row.run_name, row.document.get("output_name")):
                found.append(_Candidate(None, row, str(row.run_date)[:10]))
        return found

    def _planned(self, candidate: "_Candidate") -> int:
        """The place of a candidate's plan; a row gets one, in which what is known of it need not stand again."""
        if candidate.row is None:
            assert candidate.place is not None  # noqa: S101 - it is either
            return candidate.place
        self.plans.append(RunPlan(str(candidate.row.run_name), candidate.row.run_id))
        return len(self.plans) - 1


@dataclass(frozen=True)
class _Candidate:
    """A run that a name may mean: a plan or a row, and the day (UTC) on which it was started."""

    place: int | None
    row: DescribedRun | None
    day: str


def _steps_per_epoch(parameters: Mapping[str, ParameterValue]) -> float | None:
    steps, epoch = (parameters[name].value if name in parameters else None for name in ("steps", "epoch"))
    return steps / epoch if isinstance(steps, int) and isinstance(epoch, int) and epoch > 0 else None


def _day(run: RunIdentity | None) -> str:
    started = None if run is None else run.started_at
    try:
        return "" if started is None else datetime.fromtimestamp(started, UTC).date().isoformat()
    except (OverflowError, ValueError, OSError):  # a header may claim a time that no calendar has
        return ""


def _contradictions(row: DescribedRun, parameters: Mapping[str, ParameterValue]) -> list[str]:
    """In which numbers and switches an old row differs from what a run's files say."""
    table, against = parameter_table(), []
    for name, raw in row.parameters.values.items():
        fact = parameters.get(name)
        if name not in table or fact is None or not isinstance(fact.value, bool | int | float):
            continue
        try:
            claim = typed_value(table[name], raw)
        except ValueError:
            continue
        if claim is not None and not same_value(claim, fact.value):
            against.append(f"{name} = {claim} where the file has {fact.value}")
    return against


def _files(files: RunFiles) -> str:
    paths = [checkpoint.path for checkpoint in files.checkpoints] or [error.path for error in files.refused]
    return str(paths[-1])


def _names(paths: Sequence[Path]) -> str:
    return " and ".join(str(path) for path in paths) or "A file"
