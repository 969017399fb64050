"""What a run ran on, and what this machine can do."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from typing import Any

PACKAGES = (
    "leukfeat", "torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "xgboost", "lightgbm", "optuna",
    "h5py", "pillow", "joblib", "skops", "safetensors", "pyarrow",
)  # fmt: skip


def environment() -> dict[str, Any]:
    """Python, platform, processor count and the versions of the packages that matter; imports none of them."""
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpu": processor(),
        "cpu_count": os.cpu_count(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def version(package: str) -> str | None:
    """An installed distribution's version, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def processor() -> str:
    """The processor's name as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
