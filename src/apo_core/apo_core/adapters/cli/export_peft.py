"""An adapter as a folder of PEFT, for `PeftModel.from_pretrained`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from apo_core.adapters.files import to_json, to_safetensors
from apo_core.adapters.manifest import CONFIG_FILE, MODEL_FILE
from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError
from apo_core.system.atomic_files import move, sync, write_file


def export_peft(store: AdapterStore, version: int, output: Path, base_model: str = "") -> None:
    """Writes `adapter_model.safetensors` and `adapter_config.json` of a checked adapter; whole or not at all.

    Args:
        store: where it is.
        version: which.
        output: folder to be made.
        base_model: becomes `base_model_name_or_path`; empty leaves the adapter's own.

    Raises:
        AdapterError: the adapter is rejected, or the folder exists or cannot be made.
    """
    adapter, tensors = store.read(version)
    if output.exists():
        raise AdapterError(f"{output} exists already: name a new folder")
    config = dict(adapter.adapter_config)
    if base_model:
        config["base_model_name_or_path"] = base_model
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
        try:
            write_file(temporary / MODEL_FILE, to_safetensors(tensors))
            write_file(temporary / CONFIG_FILE, to_json(config))
            temporary.chmod(0o755)
            sync(temporary)
            move(temporary, output)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    except OSError as error:
        raise AdapterError(f"{output} cannot be made: {error}") from None
