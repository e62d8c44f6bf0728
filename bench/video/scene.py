"""Camera images that are drawn: a textured table with boxes, an arm that moves, and the noise of a sensor."""

from __future__ import annotations

import cv2
import numpy as np

HEIGHT, WIDTH = 480, 640
NOISE = 2.0  # standard deviation of each channel, of 255
_MARGIN = 120  # pixels that the camera of the wrist moves over


class Scene:
    """What one camera sees.

    Args:
        seed: of texture and boxes.
        moves: whether the camera itself moves, as one at the wrist.
    """

    def __init__(self, seed: int, moves: bool):
        self._rng, self._moves = np.random.default_rng(seed), moves
        rng, height, width = self._rng, HEIGHT + 2 * _MARGIN, WIDTH + 2 * _MARGIN
        table = np.full((height, width, 3), 120, np.float32)
        for size, contrast in ((8, 14), (32, 22), (128, 40)):
            grain = rng.normal(size=(height // size + 2, width // size + 2, 3)).astype(np.float32)
            table += contrast * cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)
        fine = rng.normal(size=(height, width)).astype(np.float32)
        table += 6 * cv2.GaussianBlur(fine, (0, 0), 1.0)[:, :, None]
        for _ in range(30):
            x, y, w, h = rng.integers((0, 0, 10, 10), (width, height, 80, 80)).tolist()
            cv2.rectangle(table, (x, y), (x + w, y + h), rng.integers(0, 255, 3).tolist(), -1)
        self._table = np.clip(table, 0, 255)

    def frame(self, index: int) -> np.ndarray:
        """uint8 (HEIGHT, WIDTH, 3) at a step of 1/30 s; steps are drawn in turn."""
        x, y = _MARGIN, _MARGIN
        if self._moves:
            x, y = round(x + 100 * np.sin(index / 40)), round(y + 80 * np.cos(index / 55))
        image = self._table[y : y + HEIGHT, x : x + WIDTH].copy()
        angle = index / 25
        base, elbow = (WIDTH // 2, HEIGHT), (round(WIDTH / 2 + 150 * np.sin(angle)), HEIGHT - 180)
        hand = (round(elbow[0] + 120 * np.cos(angle * 1.3)), round(elbow[1] - 60 - 60 * np.sin(angle)))
        cv2.line(image, base, elbow, (200, 200, 205), 38, cv2.LINE_AA)
        cv2.line(image, elbow, hand, (180, 185, 190), 28, cv2.LINE_AA)
        cv2.circle(image, hand, 20, (40, 40, 45), -1, cv2.LINE_AA)
        image = cv2.GaussianBlur(image, (0, 0), 0.7)
        image += NOISE * self._rng.standard_normal(image.shape, np.float32)
        return np.clip(np.rint(image), 0, 255).astype(np.uint8)
