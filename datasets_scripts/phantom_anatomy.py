"""The normal chest of PhantomCXR: coordinates, acquisition, and the structures every radiograph shows.

Everything is computed in float64 with additions, multiplications, divisions, square roots, comparisons and roundings,
which IEEE 754 defines to the last bit, and with integer random numbers; there is no BLAS, FFT, reduction over floats
or transcendental function. So the pixels are the same on every machine on which NumPy's PCG64 is.

Coordinates: x grows to the image's right, which is the patient's left, y grows downwards, both from -1 to 1 over a
square image before pose. `lateral` is x measured outwards from the spine on one side.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .phantom_state import Difficulty, PhantomState

Array = NDArray[np.float64]

SIDE_SIGN: dict[str, float] = {"left": 1.0, "right": -1.0}
HEART_RATIO: dict[str, float] = {"normal": 0.44, "mild": 0.55, "moderate": 0.66, "severe": 0.77}
"""Cardiothoracic ratio of each heart size."""
BASE_SHIFT: dict[str, float] = {"low": -0.20, "normal": 0.0, "high": 0.14}
"""How far each lung volume moves the diaphragm down."""
THORAX_HALF_WIDTH = 0.78
APEX_Y = -0.82
LEVELS = 255.0


def ramp(distance: Array, width: float) -> Array:
    """0 below -width/2, 1 above width/2, linear between: an edge of that softness where `distance` crosses 0."""
    return np.clip(distance / width + 0.5, 0.0, 1.0)


def bump(squared_radius: Array) -> Array:
    """(1 - r^2)^2 inside the unit radius, 0 outside: a smooth blob without an exponential."""
    rest = np.maximum(1.0 - squared_radius, 0.0)
    return rest * rest


def triangle_wave(phase: Array) -> Array:
    """A wave of period 1 between 0 and 1, highest at integers."""
    fraction = phase - np.floor(phase)
    return np.abs(2.0 * fraction - 1.0)


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """One uniform number in [low, high)."""
    return low + (high - low) * float(rng.random())


def smooth_noise(rng: np.random.Generator, image_size: int, cells: int) -> Array:
    """Noise in [-1, 1] that varies over 1/cells of the image: a random grid, interpolated bilinearly. [S, S]"""
    grid = rng.integers(0, 256, size=(cells + 1, cells + 1)).astype(np.float64) / 127.5 - 1.0
    position = (np.arange(image_size) + 0.5) * (cells / image_size)
    index = np.minimum(position.astype(np.int64), cells - 1)
    weight = position - index
    rows = grid[index] * (1.0 - weight)[:, None] + grid[index + 1] * weight[:, None]  # [S, cells + 1]
    return rows[:, index] * (1.0 - weight) + rows[:, index + 1] * weight


def grain(rng: np.random.Generator, image_size: int) -> Array:
    """Nearly normal noise of unit variance, the sum of four uniform bytes, a little correlated as film is. [S, S]"""
    raw = rng.integers(0, 256, size=(4, image_size, image_size), dtype=np.uint8)
    total = raw[0].astype(np.float64) + raw[1] + raw[2] + raw[3]
    return (total - 510.0) / 147.8  # the standard deviation of the sum of four bytes is sqrt(4 (256^2 - 1) / 12)


@dataclass(frozen=True)
class Acquisition:
    """What differs between two radiographs of one state: pose, exposure, body habitus.

    Attributes:
        angle_tangent: tangent of half the angle of rotation in the image plane.
        scale: size of the chest in the image.
        shift: (x, y) of its centre.
        turn: shift of the mediastinum against the ribs, as when the patient stands turned.
        exposure, gamma: offset and curvature of the grey scale.
        tissue: density of the soft tissue.
        rib_phase: where the first rib stands, in ribs.
        base: how far each side's diaphragm stands below its usual place, (right, left).
        heart_jitter: departure of the cardiothoracic ratio from its size's.
    """

    angle_tangent: float
    scale: float
    shift: tuple[float, float]
    turn: float
    exposure: float
    gamma: float
    tissue: float
    rib_phase: float
    base: tuple[float, float]
    heart_jitter: float


def sample_acquisition(rng: np.random.Generator) -> Acquisition:
    """A random pose, exposure and habitus."""
    return Acquisition(
        angle_tangent=uniform(rng, -0.03, 0.03),
        scale=uniform(rng, 0.93, 1.05),
        shift=(uniform(rng, -0.05, 0.05), uniform(rng, -0.05, 0.05)),
        turn=uniform(rng, -0.03, 0.03),
        exposure=uniform(rng, -0.06, 0.06),
        gamma=uniform(rng, -0.25, 0.25),
        tissue=uniform(rng, 0.58, 0.68),
        rib_phase=uniform(rng, 0.0, 1.0),
        base=(uniform(rng, -0.03, 0.03), uniform(rng, 0.0, 0.06)),
        heart_jitter=uniform(rng, -0.012, 0.012),
    )


class Chest:
    """A radiograph being drawn: its density so far, and the coordinates and masks that the painters need.

    Attributes:
        x, y: coordinates of each pixel after pose. [S, S]
        density: what the grey scale shows, 0 black to about 1 white. [S, S]
        lungs: mask of each lung in [0, 1], by side. [S, S]
        base: y of each side's diaphragm. [S, S]
        lung_height: from each lung's apex to the dome of its diaphragm.
        heart: mask of the heart. [S, S]
        turn: shift of the mediastinum against the ribs.
    """

    def __init__(self, state: PhantomState, image_size: int, rng: np.random.Generator, difficulty: Difficulty) -> None:
        self.size = image_size
        self.rng = rng
        self.difficulty = difficulty
        self.acquisition = sample_acquisition(rng)
        rotation = state.get("rotation")
        self.turn = self.acquisition.turn
        if rotation is not None:
            self.turn += 0.11 * SIDE_SIGN[str(rotation.side)]
        self.x, self.y = self._coordinates()
        self.spine_x = self._spine(state)
        self.base: dict[str, Array] = {}
        self.lungs: dict[str, Array] = {}
        self.lung_height: dict[str, float] = {}
        for side in SIDE_SIGN:
            dome = self._dome(state, side)
            self.lung_height[side] = dome - APEX_Y
            flat = 0.55 if state.lung_volume == "high" else 1.0
            self.base[side] = dome + flat * 1.15 * np.minimum((self.lateral(side) - 0.32) ** 2, 0.20)
            self.lungs[side] = self._lung(state, side)
        self.heart = self._heart(state)
        self.density = self._normal_chest(state)

    def _coordinates(self) -> tuple[Array, Array]:
        line = (np.arange(self.size) + 0.5) * (2.0 / self.size) - 1.0
        pose = self.acquisition
        x = (line[None, :] - pose.shift[0]) / pose.scale
        y = (line[:, None] - pose.shift[1]) / pose.scale
        tangent = pose.angle_tangent
        norm = 1.0 + tangent * tangent
        cosine, sine = (1.0 - tangent * tangent) / norm, 2.0 * tangent / norm
        return cosine * x + sine * y, cosine * y - sine * x

    def lateral(self, side: str) -> Array:
        """Distance outwards from the middle of the chest on that side. [S, S]"""
        return self.x * SIDE_SIGN[side]

    def _spine(self, state: PhantomState) -> Array:
        scoliosis = state.get("scoliosis")
        bend = 0.0
        if scoliosis is not None:
            bend = (0.13 if scoliosis.size == "small" else 0.30) * SIDE_SIGN[str(scoliosis.side)]
        return self.turn * 0.3 + bend * bump((self.y / 0.8) ** 2) - 0.3 * bend

    def _dome(self, state: PhantomState, side: str) -> float:
        raised = state.get("raised_diaphragm")
        rise = 0.0
        if raised is not None and raised.side == side:
            rise = 0.14 if raised.size == "small" else 0.30
        return 0.40 + BASE_SHIFT[state.lung_volume] + self.acquisition.base[0 if side == "right" else 1] - rise

    def _lung(self, state: PhantomState, side: str) -> Array:
        out, y = self.lateral(side), self.y
        half_width = 0.33 + 0.05 * y
        across = (out - 0.43 - 0.02 * y) / half_width
        along = (y + 0.02) / 0.80
        inside = 1.0 - across * across - along * along * np.abs(along)
        return ramp(inside, 0.16) * ramp(self.base[side] - y, 0.035)

    def _heart(self, state: PhantomState) -> Array:
        half = THORAX_HALF_WIDTH * (HEART_RATIO[state.heart] + self.acquisition.heart_jitter)  # half the heart's width
        shift = BASE_SHIFT[state.lung_volume] * 0.7
        centre_x = 0.30 * half + self.turn
        across = (self.x - centre_x) / half
        along = (self.y - 0.22 - shift - 0.12 * across) / (0.24 + 0.32 * half)
        return ramp(1.0 - across * across - along * along, 0.14)

    def _normal_chest(self, state: PhantomState) -> Array:
        x, y, rng, clutter = self.x, self.y, self.rng, self.difficulty.clutter
        tissue = self.acquisition.tissue
        widest = 0.93 - 0.32 * ramp(-y - 0.72, 0.5)  # the neck above the shoulders
        if state.get("habitus") is not None:
            widest = widest + 0.16 * ramp(y + 0.6, 0.8)
            tissue += 0.07
        body = ramp(widest - np.abs(x), 0.08)
        density = tissue * body * (1.0 + 0.12 * smooth_noise(rng, self.size, 3))
        lungs = self.lungs["left"] + self.lungs["right"]
        density -= lungs * (0.40 + 0.05 * smooth_noise(rng, self.size, 4))
        density += (
            lungs * clutter * (0.035 * smooth_noise(rng, self.size, 24) + 0.035 * smooth_noise(rng, self.size, 12))
        )
        density += lungs * clutter * self._hila()
        density += self._bones(lungs) * clutter
        density += 0.22 * self._mediastinum(state) + 0.30 * self.heart * (0.35 + 0.65 * lungs)
        below = np.maximum(ramp(y - self.base["left"], 0.05) * (x > 0), ramp(y - self.base["right"], 0.05) * (x <= 0))
        density += 0.10 * below * body
        bubble = bump(((x - uniform(rng, 0.34, 0.46)) / 0.16) ** 2 + ((y - uniform(rng, 0.66, 0.74)) / 0.10) ** 2)
        return density - 0.22 * bubble * below

    def _hila(self) -> Array:
        density = np.zeros_like(self.x)
        for side in SIDE_SIGN:
            out = self.lateral(side)
            dx, dy = out - 0.20, self.y + 0.10
            density += 0.16 * bump((dx / 0.17) ** 2 + (dy / 0.24) ** 2)
            radius = np.sqrt(dx * dx + dy * dy) + 0.05
            fan = triangle_wave(4.0 * dy / radius + uniform(self.rng, 0.0, 1.0))  # vessels that leave the hilum
            density += 0.07 * ramp(fan - 0.8, 0.3) * np.clip(1.1 - 1.6 * radius, 0.0, 1.0) * (dx > 0)
        return density

    def _bones(self, lungs: Array) -> Array:
        x, y = self.x, self.y
        spine = x - self.spine_x
        column = ramp(0.085 - np.abs(spine), 0.03)
        discs = ramp(triangle_wave(y * 6.5 + self.acquisition.rib_phase) - 0.72, 0.2)
        out = np.abs(spine)
        phase = self.acquisition.rib_phase
        posterior = triangle_wave((y + 0.9 * (out - 0.30) ** 2) * 4.6 + phase)
        anterior = triangle_wave((y - 0.75 * out) * 3.3 + phase * 0.5)
        cage = ramp(0.80 - out, 0.06) * ramp(y + 0.95, 0.1) * (0.3 + 0.7 * lungs)
        ribs = 0.075 * ramp(posterior - 0.62, 0.14) + 0.045 * ramp(anterior - 0.72, 0.14) * ramp(out - 0.28, 0.1)
        clavicle = ramp(0.030 - np.abs(y + 0.66 + 0.16 * (out - 0.35)), 0.02) * ramp(out - 0.08, 0.05) * (out < 0.80)
        return 0.10 * column * (1.0 - 0.6 * discs) + ribs * cage * ramp(out - 0.08, 0.05) + 0.11 * clavicle

    def _mediastinum(self, state: PhantomState) -> Array:
        x, y = self.x - self.turn, self.y
        band = ramp(0.13 + 0.05 * y - np.abs(x), 0.06) * ramp(y + 0.95, 0.1)
        trachea = ramp(0.035 - np.abs(x), 0.03) * ramp(-0.22 - y, 0.05)
        tortuous = state.get("tortuous_aorta")
        widen = 1.0 if tortuous is None else (1.9 if tortuous.size == "small" else 3.2)
        knob = bump(((x - 0.08) / (0.06 + 0.07 * widen)) ** 2 + ((y + 0.38) / (0.11 + 0.04 * widen)) ** 2)
        descending = ramp(0.04 * widen - np.abs(x - 0.07 - 0.06 * widen * bump((y / 0.5) ** 2)), 0.05)
        aorta = np.maximum(ramp(knob - 0.10, 0.2), 0.7 * descending * ramp(y + 0.36, 0.1))
        return np.maximum(band, aorta) - 0.45 * trachea
