"""`modelyard score`: the answers of a version about every picture of folders and videos, in one file.

A run that was interrupted goes on where it stopped: what it had finished is not done again, as long as the bundle, the frames
a second and the files are the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from pipelines.queries.pictures import STDIN, sources_of
from pipelines.queries.predict import FPS, is_address, last_bundle
from pipelines.queries.scoring.parts import Parts, Plan, parts_of, remove_parts
from pipelines.queries.scoring.records import ScoredFile, SourceFile, Summary, Unreadable, files_of, units_of
from pipelines.queries.scoring.writers import check_out, write_answers
from registry.errors import InputError, RefusedError
from registry.refs import parse_ref

if TYPE_CHECKING:
    from registry.protocols import Ledger, Store
    from serving.bundle.bundle import Bundle

Progress = Callable[[str, int, int], None]
_LISTED = 20


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """How to score. `ray` is a cluster's address, or `local` or `auto`; None: in this process. `workers` 0: all cores."""

    fps: float = FPS
    ray: str | None = None
    workers: int = 0
    strict: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Scoring:
    """Scores. The store is opened late: what is refused before needs no server."""

    ledger: Callable[[], Ledger]
    store: Callable[[], Store]
    say: Callable[[str], None]
    progress: Progress

    def score(self, model: str, paths: Sequence[Path], out: Path, options: ScoreOptions) -> Summary:
        """Score what lies at the paths, and write the answers. Nothing is written where nothing can be read.

        Raises RefusedError with `strict` where a file cannot be read; what was scored then waits for the next run.
        """
        if is_address(model):
            raise InputError(
                model, "is an address", "name a version, such as hand@production, or ask it with `modelyard predict`"
            )
        ref = parse_ref(model)
        check_out(out, overwrite=options.overwrite)
        if any(str(path) == STDIN for path in paths):
            raise InputError("-", "standard input is one picture", "give files or a folder, or use `modelyard predict`")
        sources = sources_of(paths)
        if sources.skipped:
            self.say(f"skipped {len(sources.skipped)} that are neither pictures nor videos")
        version, bundle = last_bundle(self.store(), self.ledger(), ref)
        files = files_of(dict.fromkeys(sources.files))
        with parts_of(out, Plan(bundle=bundle.index.digest, fps=options.fps)) as parts:
            summary = self._scored(str(version.ref), bundle, files, parts, (out, options))
            remove_parts(parts)
        return summary

    def _scored(
        self, model: str, bundle: Bundle, files: Sequence[SourceFile], parts: Parts, to: tuple[Path, ScoreOptions]
    ) -> Summary:
        out, options = to
        rest = [file for file in files if not parts.finished(file)]
        resumed = len(files) - len(rest)
        if resumed:
            self.say(f"{resumed} of {len(files)} files were scored by the run before")
        began, rows = monotonic(), 0
        with closing(self._entries(model, bundle, rest, parts, options)) as entries:
            for done, entry in enumerate(entries, resumed + 1):
                rows += entry.rows
                self.progress("files", done, len(files))
        seconds = monotonic() - began
        unreadable = [Unreadable(file=e.file, reason=e.error, rows=e.rows) for e in parts.entries(files) if e.error]
        self._check(unreadable, len(files), options)
        written = write_answers(out, parts.lines(files))
        return Summary(
            model=model,
            out=str(out),
            files=len(files),
            rows=written,
            resumed=resumed,
            unreadable=unreadable,
            seconds=round(seconds, 3),
            per_second=round(rows / seconds, 1) if rows and seconds else 0.0,
            where=f"Ray ({options.ray})" if options.ray else "this process",
        )

    def _entries(
        self, model: str, bundle: Bundle, files: Sequence[SourceFile], parts: Parts, options: ScoreOptions
    ) -> Generator[ScoredFile]:
        """What becomes of each file, as soon as it is known."""
        if options.ray:
            from pipelines.queries.scoring.on_ray import score_on_ray

            run = score_on_ray(options.ray, bundle, model, options.fps, parts)
        else:
            from pipelines.queries.scoring.local import score_here

            run = score_here(bundle, model, options.fps, parts, options.workers or len(os.sched_getaffinity(0)))
        with closing(run(units_of(files, parts.next_number))) as finished:
            for scored in finished:
                yield from scored

    def _check(self, unreadable: Sequence[Unreadable], files: int, options: ScoreOptions) -> None:
        """Say what is left out; raise where that is too much."""
        for row in unreadable[:_LISTED]:
            self.say(f"left out {row}")
        if len(unreadable) > _LISTED:
            self.say(f"and {len(unreadable) - _LISTED} more")
        if unreadable and options.strict:
            why = f"{len(unreadable)} of {files} files cannot be read, the first: {unreadable[0]}"
            raise RefusedError("--strict", why, "repair or remove them and run it again: what was scored is kept")
        if len(unreadable) == files and not any(row.rows for row in unreadable):
            why = f"cannot be scored, as none of {files} files can ({unreadable[0].reason})"
            raise InputError(unreadable[0].file, why, "check the files")
