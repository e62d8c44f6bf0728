"""Parquet files of a LeRobotDataset v3.0. Needs pyarrow (requirements/export.in)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def make_table(columns: Mapping[str, np.ndarray], pngs: Mapping[str, list[bytes]], features: Mapping[str, Any]) -> Any:
    """The pyarrow table of an episode, a row a frame, in the order of `features`; videos are no column.

    Args:
        columns: {feature: (T,) or (T, n)}.
        pngs: {feature of dtype image: a PNG file a frame}.
        features: of info.json.
    """
    import pyarrow as pa

    arrays, names = [], []
    for key, feature in features.items():
        if feature["dtype"] == "video":
            continue
        if feature["dtype"] == "image":
            image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
            array = pa.array([{"bytes": png, "path": None} for png in pngs[key]], type=image)
        elif columns[key].ndim == 2:
            values = pa.array(columns[key].reshape(-1))
            array = pa.FixedSizeListArray.from_arrays(values, columns[key].shape[1])
        else:
            array = pa.array(columns[key], type=pa.type_for_alias(feature["dtype"]))
        names.append(key)
        arrays.append(array)
    return pa.table(arrays, names=names)


class Shards:
    """Parquet files of the data, each begun when the one before is full; a row group an episode.

    Args:
        folder: of the data set.
        pattern: of the files, with chunk_index and file_index.
        limit_bytes: size at which a file is full.
        chunks_size: files in a folder.
    """

    def __init__(self, folder: Path, pattern: str, limit_bytes: int, chunks_size: int):
        self._folder, self._pattern, self._limit, self._chunks_size = folder, pattern, limit_bytes, chunks_size
        self._writer: Any = None  # ParquetWriter
        self._number, self._path = -1, Path()

    def write(self, table: Any) -> dict[str, int]:
        """Adds the frames of an episode; returns where they are, as meta/episodes names it."""
        from pyarrow.parquet import ParquetWriter

        is_new = self._writer is None or self._path.stat().st_size >= self._limit
        if is_new:
            self.close()
            self._number += 1
        place = {"chunk_index": self._number // self._chunks_size, "file_index": self._number % self._chunks_size}
        if is_new:
            self._path = self._folder / self._pattern.format(**place)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = ParquetWriter(self._path, table.schema, compression="snappy")
        self._writer.write_table(table)
        return {f"data/{name}": number for name, number in place.items()}

    def close(self) -> None:
        """Completes the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def write_meta(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    stats: Mapping[str, Any],
    tasks: Mapping[str, int],
    info: Mapping[str, Any],
) -> None:
    """Writes `meta/`: episodes, statistics, tasks {text: index} and info.json."""
    import pyarrow as pa
    from pyarrow import parquet

    meta = folder / "meta"
    episodes = meta / "episodes" / "chunk-000"
    episodes.mkdir(parents=True)
    parquet.write_table(pa.Table.from_pylist(list(rows)), episodes / "file-000.parquet", compression="snappy")
    # a pandas frame whose index is the text of the task
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            {
                "name": "task_index",
                "field_name": "task_index",
                "pandas_type": "int64",
                "numpy_type": "int64",
                "metadata": None,
            },
            {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object", "metadata": None},
        ],
        "pandas_version": "2.0.0",
    }
    table = pa.table(
        {"task_index": pa.array(list(tasks.values()), pa.int64()), "task": pa.array(list(tasks), pa.string())}
    )
    table = table.replace_schema_metadata({"pandas": json.dumps(pandas)})
    parquet.write_table(table, meta / "tasks.parquet")
    (meta / "stats.json").write_text(json.dumps(stats, indent=4) + "\n")
    (meta / "info.json").write_text(json.dumps(info, indent=4) + "\n")
