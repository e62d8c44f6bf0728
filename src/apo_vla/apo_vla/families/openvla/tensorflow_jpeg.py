"""A picture as TensorFlow reads it back from its own JPEG: tf.io.decode_image(tf.image.encode_jpeg(picture)).

TensorFlow decodes with libjpeg's fast integer cosine transform, which no other library here offers; on rendered scenes
it differs from the accurate one by one to two levels, as much as the compression itself. Both directions are written
here as libjpeg-turbo computes them, in whole numbers; the entropy coding between them is lossless and left out.
Quality 95 and halved chroma are the defaults of tf.image.encode_jpeg.
"""

from __future__ import annotations

import numpy as np

# tables of ITU-R T.81 at quality 95: (entry * 10 + 50) // 100
_LUMA = [16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56]
_LUMA += [14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92]
_LUMA += [49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99]
_CHROMA = [17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99]
_CHROMA += [47, 66, 99, 99, 99, 99, 99, 99] + [99] * 32
_SCALE = 10
_AAN = np.array([16384, 22725, 21407, 19266, 16384, 12873, 8867, 4520])  # of jddctmgr.c, 2^14 * cos(k pi / 16) * sqrt 2


def _table(entries: list[int]) -> np.ndarray:
    return np.clip((np.array(entries) * _SCALE + 50) // 100, 1, 255).reshape(8, 8).astype(np.int32)


def _fast_table(table: np.ndarray) -> np.ndarray:
    """The quantisation table with the factors of the fast transform in it, as jddctmgr.c makes it."""
    scales = (_AAN[:, None] * _AAN[None] + (1 << 13)) >> 14
    return ((table * scales + (1 << 11)) >> 12).astype(np.int32)


def through_jpeg(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) rgb -> uint8 (H, W, 3) as read back from a JPEG."""
    height, width = image.shape[:2]
    pixels = image.astype(np.int32)
    # columns are repeated before chroma is halved, rows afterwards
    padded = np.pad(pixels, ((0, height % 2), (0, -width % 16), (0, 0)), mode="edge")
    luma, blue, red = _to_ycc(padded)
    luma = _through_blocks(_whole_blocks(luma), _table(_LUMA))[:height, :width]
    half = ((height + 1) // 2, (width + 1) // 2)
    blue, red = (
        _upsample(_through_blocks(_whole_blocks(_downsample(plane)), _table(_CHROMA))[: half[0], : half[1]])
        for plane in (blue, red)
    )
    blue, red = blue[:height, :width], red[:height, :width]
    return _to_rgb(luma, blue - 128, red - 128)


def _whole_blocks(plane: np.ndarray) -> np.ndarray:
    return np.pad(plane, ((0, -plane.shape[0] % 8), (0, 0)), mode="edge")


def _to_ycc(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    centre = (128 << 16) + (1 << 15) - 1
    luma = (19595 * r + 38470 * g + 7471 * b + (1 << 15)) >> 16
    return luma, (-11059 * r - 21709 * g + 32768 * b + centre) >> 16, (32768 * r - 27439 * g - 5329 * b + centre) >> 16


def _to_rgb(luma: np.ndarray, blue: np.ndarray, red: np.ndarray) -> np.ndarray:
    half = 1 << 15
    r = luma + ((91881 * red + half) >> 16)
    g = luma + ((-22554 * blue - 46802 * red + half) >> 16)
    b = luma + ((116130 * blue + half) >> 16)
    return np.clip(np.stack([r, g, b], axis=-1), 0, 255).astype(np.uint8)


def _downsample(plane: np.ndarray) -> np.ndarray:
    """Means of 2 x 2, halves rounded down and up in turns."""
    total = plane[::2, ::2] + plane[::2, 1::2] + plane[1::2, ::2] + plane[1::2, 1::2]
    return (total + 1 + np.arange(total.shape[1], dtype=np.int32) % 2) >> 2


def _upsample(plane: np.ndarray) -> np.ndarray:
    """Twice the size by triangles: 3/4 of the nearer pixel, 1/4 of the further one, along each axis."""
    rows = np.pad(plane, ((1, 1), (0, 0)), mode="edge")
    columns = np.empty((2 * plane.shape[0], plane.shape[1]), np.int32)
    columns[::2], columns[1::2] = 3 * plane + rows[:-2], 3 * plane + rows[2:]
    sides = np.pad(columns, ((0, 0), (1, 1)), mode="edge")
    result = np.empty((columns.shape[0], 2 * columns.shape[1]), np.int32)
    result[:, ::2], result[:, 1::2] = (3 * columns + sides[:, :-2] + 8) >> 4, (3 * columns + sides[:, 2:] + 7) >> 4
    return result


def _through_blocks(plane: np.ndarray, table: np.ndarray) -> np.ndarray:
    """A plane (16 i, 8 j) through transform, quantisation and back."""
    rows, columns = plane.shape[0] // 8, plane.shape[1] // 8
    blocks = plane.reshape(rows, 8, columns, 8).transpose(1, 3, 0, 2) - 128  # (8, 8, rows, columns)
    wide = table[:, :, None, None] * 8  # the transform's results are 8 times too large
    found = _forward(blocks)
    levels = np.sign(found) * ((np.abs(found) + wide // 2) // wide)
    values = _inverse_fast(levels * _fast_table(table)[:, :, None, None])
    return values.transpose(2, 0, 3, 1).reshape(plane.shape)


def _forward(blocks: np.ndarray) -> np.ndarray:
    """The accurate integer transform (jfdctint.c) of (8, 8, ...)."""
    rows = _forward_axis(blocks.swapaxes(0, 1), 2, 11).swapaxes(0, 1)
    return _forward_axis(rows, -2, 15)


def _forward_axis(d: np.ndarray, shift: int, descale: int) -> np.ndarray:
    def scaled(value: np.ndarray) -> np.ndarray:
        return value << shift if shift > 0 else (value + (1 << (-shift - 1))) >> -shift

    def rounded(value: np.ndarray) -> np.ndarray:
        return (value + (1 << (descale - 1))) >> descale

    s0, s1, s2, s3 = d[0] + d[7], d[1] + d[6], d[2] + d[5], d[3] + d[4]
    t7, t6, t5, t4 = d[0] - d[7], d[1] - d[6], d[2] - d[5], d[3] - d[4]
    e0, e3, e1, e2 = s0 + s3, s0 - s3, s1 + s2, s1 - s2
    z = (e2 + e3) * 4433
    z1, z2, z3, z4 = t4 + t7, t5 + t6, t4 + t6, t5 + t7
    z5 = (z3 + z4) * 9633
    z1, z2, z3, z4 = z1 * -7373, z2 * -20995, z3 * -16069 + z5, z4 * -3196 + z5
    return np.stack(
        [
            scaled(e0 + e1),
            rounded(t7 * 12299 + z1 + z4),
            rounded(z + e3 * 6270),
            rounded(t6 * 25172 + z2 + z3),
            scaled(e0 - e1),
            rounded(t5 * 16819 + z2 + z4),
            rounded(z - e2 * 15137),
            rounded(t4 * 2446 + z1 + z3),
        ]
    )


def _inverse_fast(values: np.ndarray) -> np.ndarray:
    """The fast integer transform (jidctfst.c) of (8, 8, ...): 0..255."""
    columns = _inverse_axis(values)
    rows = _inverse_axis(columns.swapaxes(0, 1)).swapaxes(0, 1)
    return np.clip((rows >> 5) + 128, 0, 255)


def _inverse_axis(d: np.ndarray) -> np.ndarray:
    e10, e11, e13 = d[0] + d[4], d[0] - d[4], d[2] + d[6]
    e12 = ((d[2] - d[6]) * 362 >> 8) - e13
    t0, t3, t1, t2 = e10 + e13, e10 - e13, e11 + e12, e11 - e12
    z13, z10, z11, z12 = d[5] + d[3], d[5] - d[3], d[1] + d[7], d[1] - d[7]
    t7 = z11 + z13
    z5 = (z10 + z12) * 473 >> 8
    o10, o12 = (z12 * 277 >> 8) - z5, (z10 * -669 >> 8) + z5
    t6 = o12 - t7
    t5 = ((z11 - z13) * 362 >> 8) - t6
    t4 = o10 + t5
    return np.stack([t0 + t7, t1 + t6, t2 + t5, t3 - t4, t3 + t4, t2 - t5, t1 - t6, t0 - t7])
