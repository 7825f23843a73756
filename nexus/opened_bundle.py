"""A bundle's folder for as long as it is open: what is read from it later must still be its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nexus.errors import BundleError
from nexus.manifest import MANIFEST, Manifest, read_manifest, verify, verify_file


@dataclass(frozen=True)
class OpenedBundle:
    """folder: absolute, for the process may go elsewhere. check: whether digests are compared."""

    folder: Path
    manifest: Manifest
    check: bool

    @classmethod
    def open(cls, folder: Path, *, check: bool) -> OpenedBundle:
        """Read the manifest and compare every file with it. Raises BundleError."""
        manifest = read_manifest(folder)
        if check:
            verify(folder, manifest)
        return cls(folder.absolute(), manifest, check)

    def holds(self, *paths: str) -> bool:
        """Whether these files are there."""
        return all((self.folder / path).is_file() for path in paths)

    def verified(self, path: str) -> Path:
        """Where the file lies, compared once more. Raises BundleError where it has changed."""
        if self.check:
            self.refuse_if_gone()
            verify_file(self.folder, self.manifest.files[path])
        return self.folder / path

    def refuse_if_gone(self) -> None:
        """Raise BundleError where the whole bundle is gone, or another is in its place."""
        if not self.holds(MANIFEST):
            raise BundleError(
                MANIFEST,
                f"is no longer in {self.folder}",
                "Load the bundle again from where it is now",
            )
        if read_manifest(self.folder).about != self.manifest.about:
            raise BundleError(MANIFEST, "is of another bundle than was opened", "Load it again")
