"""The files of configuration: the package's, and a user's own in the folder `configs` of the present one."""

from functools import cache
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

OWN = Path("configs")
"""A user's own: `configs/experiment/mine.yaml` is `experiment=mine`."""


def config_folder() -> Path:
    """Return the package's folder of YAML files: inside an installed package, or beside the package in a checkout."""
    package = Path(__file__).parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def own_folder() -> Path | None:
    """Return the whole path of the user's own folder; None where there is none, or where it is the package's."""
    return OWN.absolute() if OWN.is_dir() and not OWN.samefile(config_folder()) else None


@cache
def group_names() -> tuple[str, ...]:
    """Return the groups of configuration files."""
    return tuple(path.name for path in config_folder().iterdir() if path.is_dir())


def choices_of(group: str) -> list[str]:
    """Return the choices of a group, the user's own among them."""
    folders = (config_folder() / group, OWN / group)
    return sorted({file.stem for folder in folders for file in folder.glob("*.yaml") if file.is_file()})


def file_of(group: str, choice: str) -> Path:
    """Return the file of a choice: the package's, else the user's own."""
    file = config_folder() / group / f"{choice}.yaml"
    return file if file.exists() else OWN / group / file.name


def is_own(group: str, choice: str) -> bool:
    """Return whether the file of a choice is the user's."""
    return not (config_folder() / group / f"{choice}.yaml").exists() and (OWN / group / f"{choice}.yaml").is_file()


def own_state() -> tuple[tuple[str, int], ...]:
    """Return what changes when the user's own files do: their whole paths and times of change."""
    folder = own_folder()
    files = sorted(file for file in folder.glob("*/*.yaml") if file.is_file()) if folder else ()
    return tuple((str(file), file.stat().st_mtime_ns) for file in files)


class OwnFiles(SearchPathPlugin):
    """Lets Hydra look into the user's own folder, after the package's."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the folder where there is one."""
        if folder := own_folder():
            search_path.append("own", f"file://{folder}")


Plugins.instance().register(OwnFiles)
