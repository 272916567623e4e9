"""What a bundle holds against what its manifest lists: names and sizes, the same for a folder and a zip."""

from collections.abc import Mapping, Sequence

from edgetl_runtime.errors import BundleError
from edgetl_runtime.manifest import UNLISTED, Manifest

_MOST_LISTED = 10


def differences(manifest: Manifest, found: Mapping[str, int]) -> list[str]:
    """Return a complaint for every file that is missing, not listed, or of another size.

    Args:
        found: the sizes in bytes by path; the manifest itself and its signature may be among them.
    """
    listed = {entry.path: entry.bytes for entry in manifest.files}
    complaints = [
        f"{path!r} is not in the manifest" for path in sorted(found.keys() - listed.keys() - UNLISTED.keys())
    ]
    complaints += [f"{path!r} is missing" for path in sorted(listed.keys() - found.keys())]
    for path in sorted(listed.keys() & found.keys()):
        if found[path] != listed[path]:
            complaints.append(f"{path!r} has {found[path]} bytes where the manifest says {listed[path]}")
    for path in sorted(found.keys() & UNLISTED.keys()):
        if found[path] > UNLISTED[path]:
            complaints.append(f"{path!r} has {found[path]} bytes where {UNLISTED[path]} are allowed")
    return complaints


def refuse(name: str, complaints: Sequence[str]) -> None:
    """Raise one `BundleError` that names the bundle and the complaints, if there are any."""
    if complaints:
        hidden = len(complaints) - _MOST_LISTED
        listed = "; ".join(complaints[:_MOST_LISTED]) + (f"; and {hidden} more" if hidden > 0 else "")
        raise BundleError(
            f"The bundle {name!r} is not sound: {listed}. Copy it again from where it was made."
        )
