"""A bundle's folder for as long as it is open: what is read from it later must still be its own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from nexus.errors import BundleError, blame
from nexus.files import Folder, open_file, read_exactly, size_of
from nexus.manifest import MANIFEST, Manifest, read_manifest, read_verified, verify


@dataclass(frozen=True)
class OpenedBundle:
    """folder: absolute, for the process may go elsewhere. check: whether digests are compared."""

    folder: Path
    manifest: Manifest
    check: bool
    _held: dict[str, bytearray] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, *, check: bool, hold: Collection[str] = ()) -> OpenedBundle:
        """Read the manifest and compare every file with it. Raises BundleError.

        hold: files that will be read at once; their bytes are kept until `let_go`.
        """
        manifest = read_manifest(folder)
        held = verify(folder, manifest, hold) if check else {}
        return cls(folder.absolute(), manifest, check, held)

    def holds(self, *paths: str) -> bool:
        """Whether these files are there."""
        return all((self.folder / path).is_file() for path in paths)

    def part(self, name: str) -> PartOfBundle:
        """One of the bundle's folders, to be read from."""
        return PartOfBundle(self.folder / name, self, name)

    def read(self, path: str) -> bytearray:
        """Bytes of a file, compared with its digest. Raises BundleError where they have changed."""
        if path in self._held:
            return self._held[path]
        if self.check:
            self.refuse_if_gone()
            if path not in self.manifest.files:
                raise BundleError(path, "is not in the manifest")
            return read_verified(self.folder, self.manifest.files[path])
        with blame(path), open_file(self.folder / path, alone=True) as file:
            return read_exactly(file, size_of(file))

    def let_go(self) -> None:
        """Forget the bytes that were held."""
        self._held.clear()

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


@dataclass(frozen=True)
class PartOfBundle(Folder):
    """A folder of an opened bundle: every file that is read from it is compared with its digest."""

    bundle: OpenedBundle
    name: str

    def read(self, name: str) -> bytearray:
        return self.bundle.read(f"{self.name}/{name}")
