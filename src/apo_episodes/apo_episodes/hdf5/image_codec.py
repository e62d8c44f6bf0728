"""How frames are stored: lossless chunks that HDF5 filters read, or JPEG files. Thread-safe.

zstd at level 1 was chosen on figures (bench/bench_recorder.py): it packs simulated frames about as well as gzip -4 at
four times the speed, and unpacks faster than any other lossless codec that h5py users can read.
"""

from __future__ import annotations

import hashlib
import io
import threading
import zlib
from dataclasses import dataclass

import hdf5plugin
import numpy as np
import zstandard

from apo_core.errors import EpisodeFormatError

COMPRESSIONS = ("zstd", "gzip", "none", "jpeg")
_ZSTD_LEVEL = 1
_GZIP_LEVEL = 1  # level 4 costs 1.5 times the time for a tenth of the size
_ZSTD_FILTER, _GZIP_FILTER = hdf5plugin.Zstd.filter_id, 1
_local = threading.local()  # contexts of zstandard are not for several threads at once


@dataclass(frozen=True, slots=True)
class PackedFrame:
    """A frame as it goes into the file."""

    data: bytes
    digest: bytes  # sha256 of the frame's values (C order, little endian); of `data` for JPEG


def is_jpeg(compression: str, dtype: np.dtype) -> bool:
    """Whether frames of this type are stored as JPEG files: depth never is."""
    return compression == "jpeg" and dtype == np.uint8


def lossless_of(compression: str) -> str:
    """The codec of frames that are not stored as JPEG files."""
    return "zstd" if compression == "jpeg" else compression


def dataset_options(compression: str) -> dict[str, object]:
    """Arguments of h5py's create_dataset for chunks of `pack`, of a lossless codec."""
    if compression == "zstd":
        return dict(hdf5plugin.Zstd(clevel=1))
    return {"compression": "gzip", "compression_opts": _GZIP_LEVEL} if compression == "gzip" else {}


def pack(frame: np.ndarray, compression: str, jpeg_quality: int) -> PackedFrame:
    """Packs one frame.

    Args:
        frame: (H, W, C), uint8 or uint16.
        compression: one of COMPRESSIONS; depth of `jpeg` is packed by zstd.
        jpeg_quality: 1..100.
    """
    frame = np.ascontiguousarray(frame)
    if is_jpeg(compression, frame.dtype):
        import cv2  # only where JPEG is in use

        colour = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR) if frame.shape[2] == 3 else frame
        data = cv2.imencode(".jpg", colour, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])[1].tobytes()
        return PackedFrame(data, hashlib.sha256(data).digest())
    compression = lossless_of(compression)
    digest = hashlib.sha256(frame.data).digest()
    if compression == "zstd":
        if not hasattr(_local, "compressor"):
            _local.compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_content_size=True)
        return PackedFrame(_local.compressor.compress(frame.data), digest)
    return PackedFrame(zlib.compress(frame.data, _GZIP_LEVEL) if compression == "gzip" else frame.tobytes(), digest)


def unpack_jpeg(data: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """uint8 frame of a JPEG file.

    Raises:
        EpisodeFormatError: no JPEG file, or of another size.
    """
    import cv2
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as header:  # its size, before anything is decoded
            size = header.size
        grey = shape[2] == 1
        image = None
        if size == (shape[1], shape[0]):
            flags = cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except Exception as error:  # Pillow raises many types on damaged files
        raise EpisodeFormatError(f"a frame is not a JPEG file ({type(error).__name__}: {error})") from None
    if image is None:
        raise EpisodeFormatError(f"a JPEG frame of {size} is damaged or not of the contract's shape {shape}")
    return image[:, :, None] if grey else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def filter_codec(filters: list[int]) -> str | None:
    """The codec of a dataset with these HDF5 filters; None where HDF5 itself must read it."""
    return {(): "none", (_ZSTD_FILTER,): "zstd", (_GZIP_FILTER,): "gzip"}.get(tuple(filters))


def unpack(data: bytes, codec: str, out: np.ndarray) -> None:
    """Unpacks a chunk into `out`, a contiguous frame. Never takes more memory than the frame's.

    Raises:
        EpisodeFormatError: damaged, or not of this shape.
    """
    size = out.nbytes
    try:
        if codec == "zstd":
            if zstandard.frame_content_size(data) != size:
                raise ValueError("its size is not the frame's")
            if not hasattr(_local, "decompressor"):
                _local.decompressor = zstandard.ZstdDecompressor()
            with _local.decompressor.stream_reader(data) as stream:
                if stream.readinto(out.reshape(-1).view(np.uint8)) != size:
                    raise ValueError("it is cut off")
            return
        if codec == "gzip":
            stream = zlib.decompressobj()
            data = stream.decompress(data, size)
            if not stream.eof and stream.decompress(stream.unconsumed_tail, 1):
                raise ValueError("it is longer than a frame")
        if len(data) != size:
            raise ValueError(f"it has {len(data)} bytes")
    except (ValueError, zlib.error, zstandard.ZstdError) as error:
        raise EpisodeFormatError(f"a frame of {out.shape} cannot be unpacked: {error}") from None
    out[...] = np.frombuffer(data, out.dtype).reshape(out.shape)
