"""A plan of what was asked for: made, proved, shown, and kept where its replay finds it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from rich.console import Console

from cxrnode.backfill.summary import show_estimate
from cxrnode.headers.routing import choices
from cxrnode.ledger import Ledger
from cxrnode.ledger.planned import Known
from cxrnode.plans import plan
from cxrnode.plans.gather import Tally
from cxrnode.plans.plan import Head, Origin
from cxrnode.replay.asked import Asked
from cxrnode.replay.choose import archive_named, entries
from cxrnode.replay.estimate import estimate
from cxrnode.replay.pace import Pace
from cxrnode.settings import Settings
from models.served import served


@dataclass(frozen=True)
class Manner:
    """How a replay is run, whatever it is about."""

    pace: Pace
    fetches: int
    verdicts: Path | None = None
    """the verdict file; None: beside the plan"""
    as_json: bool = False


@dataclass(frozen=True)
class Planning:
    """Everything that a plan depends on."""

    asked: Asked
    settings: Settings
    ledger: Ledger
    manner: Manner

    @cached_property
    def digests(self) -> frozenset[str]:
        """The digests of all that may read: of one model, or of those that the settings say. Raises ModelMismatch."""
        wanted = {(self.asked.model or choice.model, choice.prevalence) for choice in choices(self.settings)}
        zoo, lungs, gate = self.settings.model.zoo, self.settings.model.lungs, self.settings.rules.gate
        return frozenset(served(*one, zoo_dir=zoo, lungs=lungs, gate=gate).digest for one in wanted)

    @property
    def folder(self) -> Path:
        """Where replays are kept."""
        folder = self.settings.node.state_dir / "replays"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def make(self, path: Path) -> None:
        """Choose the studies, and write the plan; what is no DICOM among files is told."""
        console, seen = Console(stderr=True), Tally()
        with console.status("choosing studies") as status:

            def progress(tally: Tally) -> None:
                nonlocal seen
                seen = tally
                status.update(tally.in_words)

            chosen = entries(self.asked, self.settings, self.ledger, self.folder, progress)
            asked, now = self.asked, datetime.now(UTC)
            head = Head(origin=asked.origin, archive=asked.archive, asked=asked.words, made_at=now)
            plan.write(path, head, chosen)
        if seen.files:
            console.print(seen.in_words, highlight=False, soft_wrap=True)

    def show(self, path: Path) -> None:
        """Print what a plan comes to; it is read to its end. Raises SettingsError where it is wrong."""
        known = Known(() if self.asked.again else self.digests, sent=self.asked.send)
        found = estimate(path, self.ledger, known, self.manner.pace, processes=self.settings.worker.processes)
        show_estimate(found, as_json=self.manner.as_json)

    def proved(self) -> Path:
        """A plan of what was asked for, made unless there is one, and shown. Raises SettingsError."""
        path = self.asked.plan or self._draft
        if self.asked.plan is None:
            self.make(path)
        head = plan.head_of(path)
        if head.origin is Origin.ARCHIVE:
            archive_named(self.settings, head.archive)
        self.show(path)
        return path

    def of(self, folder: Path) -> Path:
        """The plan of a replay that was begun, taken into its folder where it is not a file of the asker's own."""
        path = self.asked.plan or folder / "plan.jsonl"
        if not path.exists():
            draft = self._draft if self._draft.exists() else self.proved()
            draft.replace(path)
        return path

    @property
    def _draft(self) -> Path:
        """Where a plan lies until its replay is begun; the next of the same words replaces what a killed run left."""
        return self.folder / f"{self.asked.request.digest}.jsonl"
