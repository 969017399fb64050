"""How forward passes run, and who is told about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from leukfeat.backbones.spec import BackboneSpec
from leukfeat.data.hashing import HashMemo
from leukfeat.data.manifest import Manifest
from leukfeat.features.extraction import ExtractionReport, extract
from leukfeat.features.store import FeatureStore


@dataclass(frozen=True)
class Forwarding:
    """How forward passes run, as :func:`leukfeat.features.extraction.extract` takes it."""

    device: str = "auto"
    amp_dtype: str | None = None
    batch_size: int = 32
    num_workers: int | None = None
    skip_errors: bool = False
    memo: HashMemo | None = field(default=None, compare=False)
    progress: Callable[..., None] | None = field(default=None, compare=False)
    reported: Callable[[ExtractionReport], None] | None = field(default=None, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        # another process can neither draw our progress nor print our reports
        return {**self.__dict__, "progress": None, "reported": None}

    def extract(self, spec: BackboneSpec, manifest: Manifest, store: FeatureStore) -> ExtractionReport:
        """Compute a backbone's missing features and report."""
        report = extract(
            spec,
            manifest,
            store,
            device=self.device,
            amp_dtype=self.amp_dtype,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            progress=self.progress,
            memo=self.memo,
        )
        if self.reported is not None:
            self.reported(report)
        return report
