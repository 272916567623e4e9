"""From a folder of pictures to a small, fast vision model that is proven on the device it runs on.

Names are resolved on first use, so that a command line prints its help without loading torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from edgetl_runtime import __version__

if TYPE_CHECKING:
    from edgetl.backbones import Backbone, create_backbone, list_backbones
    from edgetl.dataset import Dataset, load_dataset
    from edgetl.finetuning import finetune
    from edgetl.pipeline import export_run
    from edgetl.recipe import Recipe
    from edgetl.run import Run, read_run
    from edgetl.training import train

__all__ = [
    "Backbone",
    "Dataset",
    "Recipe",
    "Run",
    "__version__",
    "create_backbone",
    "export_run",
    "finetune",
    "list_backbones",
    "load_dataset",
    "read_run",
    "train",
]

# No module may share its name with a public object: importing the module would hide the object.
_MODULES = {
    "backbones": ("Backbone", "create_backbone", "list_backbones"),
    "dataset": ("Dataset", "load_dataset"),
    "finetuning": ("finetune",),
    "pipeline": ("export_run",),
    "recipe": ("Recipe",),
    "run": ("Run", "read_run"),
    "training": ("train",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
