"""A check-up of this machine: what is installed, what it can run, what it can reach."""

from __future__ import annotations

import shutil
import socket
import tempfile
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from leukfeat.experiments.environment import environment

_PATIENCE_S = 3.0


@dataclass(frozen=True)
class Finding:
    """One line of the check-up.

    Attributes
    ----------
    topic : str
        What was looked at.
    found : str
        What was found, and what to do about it where something should be done.
    good : bool
        Whether the three commands of the toolkit work with it.
    """

    topic: str
    found: str
    good: bool


def examine(cache: Path) -> list[Finding]:
    """Look at Python, packages, processor, GPU, the cache folder and the model hub.

    Parameters
    ----------
    cache : Path
        The feature store's folder, which need not exist yet.
    """
    about = environment()
    missing = [name for name, version in about["packages"].items() if version is None]
    return [
        Finding("python", f"{about['python']} on {about['platform']}", good=True),
        Finding("cpu", f"{about['cpu']}, {about['cpu_count']} processors", good=True),
        Finding(
            "packages",
            ", ".join(f"{name} {version}" for name, version in about["packages"].items() if version)
            + (f"; missing: {', '.join(missing)} (pip install leukfeat)" if missing else ""),
            good=not set(missing) - {"leukfeat"},
        ),
        _gpu(),
        _writable(cache),
        _hub(),
    ]


def _gpu() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding("gpu", f"torch cannot be imported: {error}", good=False)
    if not torch.cuda.is_available():
        return Finding("gpu", f"none that torch {torch.__version__} can use; everything runs on the CPU", good=True)
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return Finding("gpu", f"{', '.join(names)} (CUDA {torch.version.cuda})", good=True)


def _writable(cache: Path) -> Finding:
    folder = cache
    try:
        while not folder.exists():  # below a folder that is closed to us, nobody knows
            folder = folder.parent
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return Finding(
            "cache", f"{cache}: cannot be written ({error.strerror}); choose another with --cache", good=False
        )
    return Finding("cache", f"{cache}: writable, {shutil.disk_usage(folder).free / 1e9:.0f} GB free", good=True)


def _hub() -> Finding:
    """Whether pretrained weights can be downloaded; offline is no fault."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return Finding("model hub", "switched off by HF_HUB_OFFLINE; use --weights FILE.safetensors", good=True)
    hub = urllib.parse.urlsplit(constants.ENDPOINT)
    try:
        with socket.create_connection((hub.hostname or "", hub.port or 443), timeout=_PATIENCE_S):
            return Finding("model hub", "reachable: weights=imagenet can be downloaded", good=True)
    except OSError as error:
        return Finding(
            "model hub",
            f"offline ({error}): give --weights FILE.safetensors, or --weights random to try things",
            good=True,
        )
