"""Whether a name stays inside its data root: without ``..``, and without a symbolic link that leads out.

A table of images may come from somebody else, and so may a folder. Neither shall decide that a file somewhere on this
machine is read, shown in a report and passed on. A whole path (``/data/…``) is another matter: it hides nothing, it is
what leukfeat itself writes where a manifest lies elsewhere than its images, and it is taken as it stands.
"""

from __future__ import annotations

import os
from pathlib import Path

LEADS_OUT = "a symbolic link that leads out of the data folder; --follow-links takes it"
LINKED_FOLDER = "a symbolic link to a folder; --follow-links takes it"


class Root:
    """A data folder, and what may be read from it.

    Parameters
    ----------
    folder : Path
        What relative names are relative to.
    follow_links : bool
        Take symbolic links wherever they lead.
    """

    def __init__(self, folder: Path, *, follow_links: bool = False) -> None:
        self._folder = os.fspath(folder) or "."
        self._follow_links = follow_links
        self._whole: str | None = None  # without any link, found out when it is first needed
        self._parents: dict[str, bool] = {}  # whether a folder is inside; most names share one with others
        self._listed: set[str] = set()

    def refusal(self, name: str) -> str | None:
        """Why a name may not be read; None where it may.

        Parameters
        ----------
        name : str
            A path; a relative one counts from the root. It need not exist.

        Examples
        --------
        >>> root = Root(Path("cells"))
        >>> root.refusal("ALL/1.png"), root.refusal("/elsewhere/1.png")
        (None, None)
        >>> root.refusal("../1.png")
        'leads out of the data folder; write the whole path if it is meant'
        """
        if os.path.isabs(name):  # noqa: PTH117 (a Path a name would cost more than all else here)
            return None
        if ".." in name and os.path.normpath(name).split(os.sep, 1)[0] == "..":
            return "leads out of the data folder; write the whole path if it is meant"
        if self._follow_links:
            return None
        file = os.path.join(self._folder, name)  # noqa: PTH118
        parent = os.path.dirname(file)  # noqa: PTH120
        if parent not in self._parents:
            self._parents[parent] = self._holds(parent)
        if not self._parents[parent] or (os.path.islink(file) and not self._holds(file)):  # noqa: PTH114
            return LEADS_OUT
        return None

    def folder_refusal(self, folder: str) -> str | None:
        """Why a folder below the root is not to be listed; None where it is. To be asked once for each.

        Parameters
        ----------
        folder : str
            Its path, the root's included.
        """
        link = os.path.islink(folder)  # noqa: PTH114
        if not self._follow_links:
            return LINKED_FOLDER if link else None
        real = os.path.realpath(folder)
        if real in self._listed:  # a circle of links, or a folder by two names
            return "the same folder is listed by another name"
        self._listed |= {real, os.path.realpath(self._folder)}
        return None

    def _holds(self, file: str) -> bool:
        """Whether a file is inside when every link has been followed."""
        if self._whole is None:
            self._whole = os.path.realpath(self._folder)
        real = os.path.realpath(file)
        return real == self._whole or real.startswith(os.path.join(self._whole, ""))  # noqa: PTH118
