"""Short groups of colour frames as H.264, each decoded on its own. Thread-safe; imports PyAV and OpenCV when used.

A group is one key frame and frames that refer to earlier ones only, so packets and frames have the same order. Frames
go through Y'CbCr of BT.601, full range, with chroma of full size (4:4:4): with a smaller one the edges of coloured
objects lose more than by the whole quantisation.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np

from apo_core.errors import EpisodeFormatError

CODEC = "h264"
MAX_GOP = 60  # frames of a group that readers accept
# No frame refers to a later one (bf), none but the first is a key frame (sc_threshold, and g by the group). What looks
# better to people but is further from the image is off (tune).
_OPTIONS = {"preset": "veryfast", "tune": "psnr", "bf": "0", "sc_threshold": "0"}
_BT601, _FULL_RANGE = 6, 2  # of AVColorSpace and AVColorRange
_BLOCK = 16  # pixels; the sides of coded frames are multiples of it


def load_av() -> ModuleType:
    """PyAV. Raises EpisodeFormatError with what to install where it is missing."""
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise EpisodeFormatError(
            f"its images are video, which needs the Python package 'av', which cannot be imported ({error}): install "
            "it with  pip install -c requirements/lock.txt -r requirements/video.in"
        ) from None


def encode_group(frames: np.ndarray, crf: int) -> list[bytes]:
    """One packet a frame, the first of a key frame.

    Args:
        frames: uint8 (n, H, W, C) rgb or grey, n of 1..MAX_GOP.
        crf: quality of x264, 1 (best) .. 51; 6 more are about half the size.

    Raises:
        EpisodeFormatError: PyAV is missing, or made another number of packets.
    """
    av = load_av()
    count, height, width, _ = frames.shape
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv444p"
    encoder.time_base = Fraction(1, 30)
    encoder.color_range, encoder.colorspace = _FULL_RANGE, _BT601
    encoder.options = {**_OPTIONS, "crf": str(crf), "g": str(count)}
    encoder.thread_count = 1
    packets = []
    for index, frame in enumerate(frames):
        picture = av.VideoFrame(width, height, "yuv444p")
        for plane, values in zip(picture.planes, _planes(frame), strict=True):
            np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)[:, :width] = values
        picture.pts = index
        packets += encoder.encode(picture)
    packets += encoder.encode(None)
    if [packet.pts for packet in packets] != list(range(count)):
        raise EpisodeFormatError(f"the encoder made {len(packets)} packets of {count} frames")
    return [bytes(packet) for packet in packets]


def decode_group(packets: Sequence[bytes], shape: tuple[int, int, int]) -> np.ndarray:
    """uint8 (n, H, W, C) frames of the packets of a group.

    Args:
        packets: as of `encode_group`.
        shape: (H, W, C) of a frame.

    Raises:
        EpisodeFormatError: PyAV is missing, or the packets are damaged, of another size, or not one frame each.
    """
    av = load_av()
    height, width, _ = shape
    frames = np.empty((len(packets), *shape), np.uint8)
    decoder = av.CodecContext.create(CODEC, "r")
    decoder.thread_count = 1
    # a frame that claims to be huge takes no memory; damage is an error, not a guess at what was there
    pixels = (-(-height // _BLOCK) + 1) * (-(-width // _BLOCK) + 1) * _BLOCK**2
    decoder.options = {"max_pixels": str(pixels), "err_detect": "explode"}
    done = 0
    try:
        for data in [*packets, None]:
            for picture in decoder.decode(None if data is None else av.Packet(data)):
                if done == len(frames):
                    raise EpisodeFormatError(f"{len(frames)} video packets hold more frames than that")
                _put(picture, frames[done])
                done += 1
    except (av.FFmpegError, ValueError) as error:
        raise EpisodeFormatError(f"a video packet is damaged: {error}") from None
    if done != len(frames):
        raise EpisodeFormatError(f"{len(frames)} video packets hold {done} frames")
    return frames


def _planes(frame: np.ndarray) -> Sequence[np.ndarray]:
    """Y, Cb and Cr of a frame."""
    import cv2

    if frame.shape[2] == 1:
        grey = frame[:, :, 0]
        return grey, np.full_like(grey, 128), np.full_like(grey, 128)
    luma, red, blue = cv2.split(cv2.cvtColor(frame, cv2.COLOR_RGB2YCrCb))
    return luma, blue, red


def _put(picture: Any, out: np.ndarray) -> None:
    """A decoded picture -> `out`, uint8 (H, W, C)."""
    import cv2

    height, width, channels = out.shape
    found = (picture.format.name.replace("yuvj", "yuv"), picture.height, picture.width)
    if found != ("yuv444p", height, width) or picture.is_corrupt:
        damage = ", damaged" if picture.is_corrupt else ""
        raise EpisodeFormatError(f"a video frame is {' '.join(map(str, found))}{damage}, expected {height} x {width}")
    luma, blue, red = (
        np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:height, :width] for plane in picture.planes
    )
    if channels == 1:
        out[:, :, 0] = luma
    else:
        cv2.cvtColor(cv2.merge((luma, red, blue)), cv2.COLOR_YCrCb2RGB, dst=out)
