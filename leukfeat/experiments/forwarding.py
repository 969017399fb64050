"""How forward passes and training run, and who is told about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from leukfeat.backbones.finetuned import Training
from leukfeat.backbones.spec import BackboneSpec
from leukfeat.data.hashing import HashMemo
from leukfeat.data.manifest import Manifest
from leukfeat.experiments.workers import Workers
from leukfeat.features.extraction import ExtractionReport, extract
from leukfeat.features.store import FeatureStore


@dataclass(frozen=True)
class Forwarding:
    """How forward passes run, as :func:`leukfeat.features.extraction.extract` takes it, and training beside them.

    ``workers``, where there are any, compute missing features in shards.
    """

    device: str = "auto"
    amp_dtype: str | None = None
    batch_size: int | None = None
    num_workers: int | None = None
    engine: str = "auto"
    skip_errors: bool = False
    memo: HashMemo | None = field(default=None, compare=False)
    progress: Callable[..., None] | None = field(default=None, compare=False)
    reported: Callable[[ExtractionReport], None] | None = field(default=None, compare=False)
    trained: Callable[..., None] | None = field(default=None, compare=False)
    told: Callable[[str], None] | None = field(default=None, compare=False)
    workers: Workers | None = field(default=None, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        # another process can neither draw our progress nor print our reports, and is a worker itself
        ours = ("progress", "reported", "trained", "told", "workers")
        return {**self.__dict__, **dict.fromkeys(ours)}

    @property
    def elsewhere(self) -> bool:
        """Whether what is fitted may be fitted on other machines, which see the same files."""
        return self.workers is not None and self.workers.elsewhere

    @property
    def training(self) -> Training:
        """How networks are trained."""
        return Training(self.device, self.amp_dtype, self.num_workers, self.trained, self.told)

    def say(self, line: str) -> None:
        """Tell whoever listens."""
        if self.told is not None:
            self.told(line)

    def extract(
        self, spec: BackboneSpec, manifest: Manifest, store: FeatureStore, rows: NDArray[np.int64] | None = None
    ) -> ExtractionReport:
        """Compute a backbone's missing features of some rows, or of all, and report."""
        report = extract(
            spec,
            manifest,
            store,
            device=self.device,
            amp_dtype=self.amp_dtype,
            batch_size=self.batch_size,
            num_workers=self.num_workers or (None if self.workers is None else self.workers.decoders),
            progress=self.progress,
            rows=rows,
            engine=self.engine,
            memo=self.memo,
            told=self.told,
            spread=self.workers,
        )
        if self.reported is not None:
            self.reported(report)
        return report
