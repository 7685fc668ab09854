"""metrics.jsonl: a line per so many steps, in the file as soon as it is known; to TensorBoard, too, where that is asked for."""

import json
from collections.abc import Sequence
from typing import Any

from pipeline import io
from pipeline.train.loop import Step, finite
from schemas.errors import UserError

METRICS_NAME = "metrics.jsonl"
_TENSORBOARD_FOLDER = "tensorboard"


class Metrics:
    """The lines of a run, `lines` of which an earlier process has written. On an object store the file appears at the end.

    Raises UserError where TensorBoard is asked for and not installed.
    """

    def __init__(self, folder: str, lines: Sequence[dict[str, Any]] = (), *, tensorboard: bool = False) -> None:
        self.lines = list(lines)
        self._path = io.join(folder, METRICS_NAME)
        self._pending: list[Step] = []
        self._board = _board(folder, purge_step=lines[-1]["step"] + 1 if lines else 0) if tensorboard else None
        self._write_all()
        # Unbuffered: a line is written in one call, so that no reader sees half of one.
        self._file = open(io.url_to_fs(self._path)[1], "ab", buffering=0) if io.is_local(folder) else None  # noqa: SIM115

    def add(self, step: Step) -> None:
        """Take a step, whose loss is that of the whole batch. It is written with the next one: to read a loss waits for the GPU.

        Raises UserError where the loss of an earlier step is no number.
        """
        self.flush()
        self._pending.append(step)

    def flush(self) -> None:
        """Write what is pending. Raises UserError where a loss is no number."""
        pending, self._pending = self._pending, []
        for step in pending:
            line = {
                "step": step.step,
                "samples_seen": step.samples_seen,
                "loss": finite(step.loss, step.step),
                "lr": step.lr,
                "images_per_s": round(step.images_per_s, 1),
            }
            self.lines.append(line)
            if self._file:
                self._file.write(_text([line]))
            if self._board:
                for name in ("loss", "lr", "images_per_s"):
                    self._board.add_scalar(f"train/{name}", line[name], step.step)

    def close(self) -> None:
        """Write what is pending and let go of the files."""
        try:
            self.flush()
        finally:
            if self._file:
                self._file.close()
            else:
                self._write_all()
            if self._board:
                self._board.close()

    def _write_all(self) -> None:
        with io.atomic_write(self._path) as file:
            file.write(_text(self.lines))


def _text(lines: Sequence[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def _board(folder: str, *, purge_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError(
            f"--tensorboard: {error.name or 'tensorboard'} is not installed; pip install 'webpairs[tensorboard]'"
        ) from error
    return SummaryWriter(io.join(io.absolute(folder), _TENSORBOARD_FOLDER), purge_step=purge_step)


__all__ = ["METRICS_NAME", "Metrics"]
