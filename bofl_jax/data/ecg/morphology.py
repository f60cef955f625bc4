"""The shape of a simulated beat: a sum of Gaussians in time, the closed form of ECGSYN.

ECGSYN integrates ``z' = -sum_i a_i d_i exp(-d_i^2 / 2 b_i^2) - (z - z0)`` along a circle that is traversed at angular
speed ``w``, with ``d_i`` the angle from wave i. Without the slow relaxation to ``z0`` the integral is
``z(t) = sum_i A_i exp(-(t - c_i)^2 / 2 s_i^2)`` with ``A_i = a_i b_i^2 / w``, ``c_i = angle_i / w``, ``s_i = b_i / w``,
which needs no time stepping. All functions here are for one patient or one beat.

References:
    McSharry, Clifford, Tarassenko, Smith: A dynamical model for generating synthetic electrocardiogram signals.
    IEEE Transactions on Biomedical Engineering, 2003.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

N, S, V, F, Q = range(5)
"""Class codes, positions in ``aami.CLASSES``."""

MEDIAN_GAIN = 1.5
"""mV of a median N peak; in the tables below R has amplitude 1."""

#                        P      Q      R     S      T
AMPLITUDE = np.array([0.12, -0.10, 1.00, -0.22, 0.25])
SECOND_LEAD = np.array([0.06, 0.00, 0.35, -0.90, 0.15])
CENTRE_S = np.array([-0.17, -0.028, 0.0, 0.030, 0.27])
WIDTH_S = np.array([0.025, 0.009, 0.012, 0.011, 0.055])

ECTOPIC_CENTRE_S = np.array([0.0, 0.075, 0.27])
ECTOPIC_WIDTH_S = np.array([0.030, 0.035, 0.075])
PACED_CENTRE_S = np.array([-0.055, 0.0, 0.070, 0.32, 0.0])
PACED_WIDTH_S = np.array([0.00085, 0.027, 0.030, 0.070, 0.05])

REFERENCE_RR_S = 0.8
SHAPE_SD = (0.35, 0.08, 0.15)
"""Standard deviations between patients of the logarithms of amplitude, centre and width."""
BEAT_SD = 0.04
"""Standard deviation between beats of the logarithm of each wave's amplitude."""
CONDUCTION = {"lbbb": 0.09, "rbbb": 0.08, "t_inverted": 0.15, "deep_s": 0.30}
"""Probabilities of the variants of a conducted beat."""
EARLY_P = (-0.8, 0.0, 0.4)
"""Factor on P in an S beat, by patient: inverted, hidden or small."""
ABERRANT = 0.06
"""Share of S beats that are conducted slowly, with a QRS 1.5 times as wide."""


class Waves(NamedTuple):
    """A sum of G Gaussians; fields are float32[..., G]."""

    amplitude: jax.Array  # mV
    centre: jax.Array  # s from the R peak
    width: jax.Array  # s, standard deviation


class Morphology(NamedTuple):
    """The wave shapes of one patient in one lead."""

    conducted: Waves  # [5], P Q R S T of a normal beat
    ectopic: Waves  # [3], R S T of a ventricular beat
    paced: Waves  # [5], spike R S T and an unused wave
    early_p: jax.Array  # [], factor on P in an S beat: inverted, hidden or small


class BeatDraws(NamedTuple):
    """The randomness of one beat."""

    share: jax.Array  # [], uniform, sets the share of the normal beat in a fusion beat
    aberrant: jax.Array  # [], uniform, decides whether an S beat is conducted slowly
    size: jax.Array  # [8], normal, variation of the waves' amplitudes


def wave_sum(waves: Waves, time: jax.Array) -> jax.Array:
    """Evaluate ``sum_g A_g exp(-(t - c_g)^2 / 2 s_g^2)``.

    Args:
        waves: G Gaussians.
        time: float32[...], s from the R peak.

    Returns:
        float32[...], mV.
    """
    offset = (time[..., None] - waves.centre) / waves.width
    return jnp.sum(waves.amplitude * jnp.exp(-0.5 * offset**2), axis=-1)


def draw_morphology(key: jax.Array, diversity: jax.Array, lead_mix: jax.Array, mean_rr: jax.Array) -> Morphology:
    """Draw the wave shapes of one patient.

    Args:
        key: the patient's key for shapes.
        diversity: factor on the differences between patients; at 0 all are alike.
        lead_mix: share of a second, precordial lead in the recording, in [0, 1).
        mean_rr: mean RR in s; the distances of P and T from R scale with its square root.
    """
    uniform_key, normal_key = jax.random.split(key)
    uniform = jax.random.uniform(uniform_key, (12,))  # one call each, because each call adds compile time
    normal = diversity * jax.random.normal(normal_key, (23,))
    kind = jnp.where(diversity > 0, (3 * uniform[0]).astype(jnp.int32), 0)
    conducted = _conducted(normal[:15].reshape(3, 5), lead_mix, mean_rr)
    return Morphology(
        conducted=_variants(uniform[1:5], conducted, diversity),
        ectopic=_ectopic(uniform[5:9], normal[15:18], diversity, lead_mix),
        paced=_paced(uniform[9:12], normal[18:23], diversity),
        early_p=jnp.array(EARLY_P)[kind],
    )


def beat_waves(draws: BeatDraws, morphology: Morphology, code: jax.Array, has_p: jax.Array) -> Waves:
    """Compute the eight waves of one beat.

    A fusion beat is ``l N + (1 - l) V`` of the same patient with ``l ~ U(0.45, 0.75)``.

    Args:
        draws: the random numbers of the beat.
        morphology: the wave shapes of the patient.
        code: int[], class code.
        has_p: bool[], false in atrial fibrillation.
    """
    normal_share = jnp.select([code == V, code == F], [0.0, 0.45 + 0.3 * draws.share], 1.0)
    p_factor = jnp.where(code == S, morphology.early_p, 1.0) * has_p
    wider = jnp.where((code == S) & (draws.aberrant < ABERRANT), 1.5, 1.0)
    conducted = morphology.conducted
    conducted = Waves(
        conducted.amplitude.at[0].multiply(p_factor), conducted.centre, conducted.width.at[1:4].multiply(wider)
    )
    first = jax.tree.map(lambda paced, other: jnp.where(code == Q, paced, other), morphology.paced, conducted)
    amplitude = jnp.concatenate([normal_share * first.amplitude, (1 - normal_share) * morphology.ectopic.amplitude])
    return Waves(
        amplitude=amplitude * jnp.exp(BEAT_SD * draws.size),
        centre=jnp.concatenate([first.centre, morphology.ectopic.centre]),
        width=jnp.concatenate([first.width, morphology.ectopic.width]),
    )


def draw_beats(key: jax.Array, beats: int) -> BeatDraws:
    """Draw the random numbers of all beats of a patient; fields have a leading axis of ``beats``."""
    uniform_key, normal_key = jax.random.split(key)
    share, aberrant = jax.random.uniform(uniform_key, (2, beats))
    return BeatDraws(share, aberrant, jax.random.normal(normal_key, (beats, 8)))


def _conducted(normal: jax.Array, lead_mix: jax.Array, mean_rr: jax.Array) -> Waves:
    spread = jnp.array(SHAPE_SD)[:, None] * normal
    spread = spread.at[0, 2].set(0.0)  # the height of R is the device's gain
    amplitude, centre, width = jnp.exp(spread)
    rate = jnp.sqrt(mean_rr / REFERENCE_RR_S) ** jnp.array([1, 0, 0, 0, 1])
    mixed = (1 - lead_mix) * AMPLITUDE + lead_mix * SECOND_LEAD
    return Waves(MEDIAN_GAIN * amplitude * mixed, centre * rate * CENTRE_S, width * WIDTH_S)


def _variants(uniform: jax.Array, waves: Waves, diversity: jax.Array) -> Waves:
    """Apply bundle branch blocks, an inverted T and a deep S. A left block excludes a right one."""
    lbbb, rbbb, t_inverted, deep_s = uniform < diversity * jnp.array(list(CONDUCTION.values()))
    rbbb &= ~lbbb
    amplitude, centre, width = waves
    t_sign = jnp.where(lbbb, -1.0, jnp.where(t_inverted, -0.6, 1.0))
    amplitude = amplitude.at[4].multiply(t_sign)
    amplitude = amplitude.at[3].multiply(jnp.where(deep_s, 2.5, 1.0) * jnp.where(rbbb, 1.6, 1.0))
    amplitude = amplitude.at[1].multiply(jnp.where(lbbb, 0.0, 1.0))
    width = width.at[2].multiply(jnp.where(lbbb, 2.2, 1.0))
    width = width.at[3].set(jnp.where(rbbb, 0.022, width[3]))
    centre = centre.at[3].set(jnp.where(rbbb, 0.055, jnp.where(lbbb, 0.060, centre[3])))
    return Waves(amplitude, centre, width)


def _ectopic(uniform: jax.Array, normal: jax.Array, diversity: jax.Array, lead_mix: jax.Array) -> Waves:
    """A wide R, U(0.9, 2) times as high as N, with opposite S and T; inverted in a quarter of the patients."""
    sign = jnp.where(uniform[0] < 0.25 * diversity, -1.0, 1.0)
    high = _between(uniform[1], 0.9, 2.0, diversity)
    deep = _between(uniform[2], 0.2, 0.9, diversity)
    projection = 1 - lead_mix + lead_mix * (2 * uniform[3] - 1)  # an ectopic beat has another electrical axis
    amplitude = MEDIAN_GAIN * high * sign * projection * jnp.stack([jnp.ones(()), -deep, jnp.array(-0.4)])
    return Waves(amplitude, jnp.array(ECTOPIC_CENTRE_S), jnp.exp(SHAPE_SD[2] * normal) * ECTOPIC_WIDTH_S)


def _paced(uniform: jax.Array, normal: jax.Array, diversity: jax.Array) -> Waves:
    """A 2 ms spike, then a beat that is conducted as in a left bundle branch block."""
    sign = jnp.where(uniform[0] < 0.4 * diversity, -1.0, 1.0)
    high = sign * _between(uniform[1], 0.7, 1.3, diversity)
    spike = _between(uniform[2], 0.5, 2.0, diversity)
    amplitude = MEDIAN_GAIN * jnp.stack([spike, high, -0.15 * high, -0.35 * high, jnp.zeros(())])
    width = jnp.exp(SHAPE_SD[2] * normal).at[0].set(1.0) * PACED_WIDTH_S
    return Waves(amplitude, jnp.array(PACED_CENTRE_S), width)


def _between(draw: jax.Array, low: float, high: float, diversity: jax.Array) -> jax.Array:
    """Map a uniform draw to ``[low, high]`` at diversity 1, and to the midpoint at diversity 0."""
    middle, half = (low + high) / 2, (high - low) / 2
    return middle + half * jnp.minimum(diversity, 1.0) * (2 * draw - 1)
