"""What libraries take, and keep for later: settings of the whole process, so the command line's to make."""

import ctypes
import os
import sys
from importlib.util import find_spec

import yaml

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt (malloc.h)."""

KEPT_BYTES = 256 << 20
"""The most free memory that is kept at the heap's end, and the largest block that is taken from the heap."""

KEPT_KERNELS = 64
"""The most kernels that oneDNN keeps; a training with 100 was as fast as with its own 1,024."""


def keep_freed_memory() -> None:
    """Let glibc keep what is freed for what is asked for next; other C libraries are left as they are.

    By default it hands large blocks back to the system at once and gets them anew, page by page: on a CPU that is
    13,000 page faults, and a tenth of the time, of a training step of a small Transformer.
    """
    if sys.platform != "linux" or not hasattr(library := ctypes.CDLL(None), "mallopt"):
        return
    if library.mallopt(M_MMAP_THRESHOLD, KEPT_BYTES):  # where it is refused, the other alone would make things worse
        library.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def keep_few_kernels() -> None:
    """Let oneDNN forget the kernels of shapes long past, unless the environment says how many it keeps.

    On a CPU it compiles one for every shape of a product in half precision, and by default keeps 1,024: batches have
    ever other shapes, so that a training grows by gigabytes, and none of its time is saved.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(KEPT_KERNELS))


def read_yaml_in_c() -> None:
    """Let OmegaConf read YAML by its library in C where that is there: Hydra composes in 0.25 seconds, not in 0.35."""
    yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def keep_folder_from_pandas(name: str) -> None:
    """Let no folder of the present one be the package of a name that pandas would use, and which is not installed.

    Python takes any folder for a package. A run in the folder `bottleneck`, which is what a model is called, would
    leave pandas with a package that it cannot use.
    """
    found = find_spec(name)
    if found is None or found.origin is None:
        sys.modules[name] = None  # type: ignore[assignment]  # which is how Python marks a module as absent
