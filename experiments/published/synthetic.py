"""The Synthetic(alpha, beta) federations of LEAF and FedProx, equal to the published ones number for number.

All numbers are drawn from one legacy MT19937 stream in a fixed order; alpha and beta act as standard deviations (Li et
al., Federated optimization in heterogeneous networks, MLSys 2020; the public code of FedProx and pFedMe).
"""

from typing import NamedTuple

import numpy as np

INPUTS, CLASSES = 60, 10


class Federation(NamedTuple):
    """The samples of K clients, and the draws that determine them."""

    x: list[np.ndarray]  # float64[n_k, 60] each
    y: list[np.ndarray]  # int64[n_k] each
    model_mean: np.ndarray  # float64[K], u_k
    centre_mean: np.ndarray  # float64[K], B_k
    centre: np.ndarray  # float64[K, 60], v_k


def draw_sizes(stream: np.random.RandomState, clients: int) -> np.ndarray:
    """int64[K]: draws from LogNormal(4, 2), rounded down, plus 50.

    Args:
        stream: source of the draws.
        clients: K.
    """
    return stream.lognormal(4, 2, clients).astype(int) + 50


def draw_federation(
    clients: int, alpha: float, beta: float, seed: int, scale: int = 1, iid: bool = False
) -> Federation:
    """Draw a federation.

    Args:
        clients: K.
        alpha: standard deviation of the mean of a client's model.
        beta: standard deviation of the mean of its inputs' centre.
        seed: seed of the stream.
        scale: factor on the sizes (pFedMe: 5).
        iid: whether all clients have one model and centre 0.
    """
    stream = np.random.RandomState(seed)
    count = draw_sizes(stream, clients) * scale
    if iid:
        model_mean = centre_mean = np.zeros(clients)
        centre = np.zeros((clients, INPUTS))
        shared = stream.normal(0, 1, (INPUTS, CLASSES)), stream.normal(0, 1, CLASSES)
    else:
        model_mean, centre_mean = stream.normal(0, alpha, clients), stream.normal(0, beta, clients)
        centre = np.stack([stream.normal(mean, 1, INPUTS) for mean in centre_mean])
    spread = np.diag(np.arange(1, INPUTS + 1) ** -1.2)
    x, y = [], []
    for client in range(clients):
        mean = model_mean[client]
        weight, bias = shared if iid else (stream.normal(mean, 1, (INPUTS, CLASSES)), stream.normal(mean, 1, CLASSES))
        x.append(stream.multivariate_normal(centre[client], spread, count[client]))
        y.append(np.argmax(x[-1] @ weight + bias, axis=1))
    return Federation(x, y, model_mean, centre_mean, centre)
