"""Federated algorithms: one file an algorithm. The clients' part is written for ONE client."""

# The order of these imports is the order of the algorithms in messages and in the key reference.
from bofl_jax.algorithms.fedavg import FedAvgOptions, fedavg  # isort: skip
from bofl_jax.algorithms.fedprox import FedProxOptions, fedprox, proximal_gradient  # isort: skip
from bofl_jax.algorithms.fednova import FedNovaOptions, fednova, fednova_server  # isort: skip
from bofl_jax.algorithms.scaffold import ScaffoldOptions, scaffold, scaffold_server  # isort: skip
from bofl_jax.algorithms.perfedavg import MetaGradient, PerFedAvgOptions, perfedavg  # isort: skip
from bofl_jax.algorithms.ditto import DittoOptions, ditto  # isort: skip
from bofl_jax.algorithms.pfedme import PFedMeOptions, pfedme  # isort: skip
from bofl_jax.algorithms.apfl import ApflOptions, apfl  # isort: skip
from bofl_jax.algorithms.fedrep import FedRepOptions, fedrep  # isort: skip
from bofl_jax.algorithms.fedper import FedPerOptions  # isort: skip
from bofl_jax.algorithms.fedbn import FedBnOptions  # isort: skip
from bofl_jax.algorithms.bfln import BflnOptions, bfln  # isort: skip
from bofl_jax.algorithms.local import LocalOptions, local_only  # isort: skip
from bofl_jax.algorithms.centralised import CentralisedOptions  # isort: skip
from bofl_jax.algorithms.base import Batch, LocalAlgorithm, LocalData, Loss, TrainInfo, split_support_query, stateless
from bofl_jax.algorithms.client_data import ClientTask, local_data
from bofl_jax.algorithms.loss import class_weights, cross_entropy
from bofl_jax.algorithms.optimizer_loop import OptimizerLoop, from_gradient, model_delta
from bofl_jax.algorithms.optimizers import OptimizerOptions, build_optimizer, build_server_optimizer, learning_rates
from bofl_jax.algorithms.options import FederatedOptions, TrainingOptions, UnsharedOptions
from bofl_jax.algorithms.partial import personal_layers, train_together
from bofl_jax.algorithms.personalisation import FineTuneOptions, NoPersonaliseOptions, OwnOptions, PersonaliseOptions
from bofl_jax.algorithms.registry import ALGORITHMS, Algorithm, BuildContext, build
from bofl_jax.algorithms.sampling import Sampler, take

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "ApflOptions",
    "Batch",
    "BflnOptions",
    "BuildContext",
    "CentralisedOptions",
    "ClientTask",
    "DittoOptions",
    "FedAvgOptions",
    "FedBnOptions",
    "FedNovaOptions",
    "FedPerOptions",
    "FedProxOptions",
    "FedRepOptions",
    "FederatedOptions",
    "FineTuneOptions",
    "LocalAlgorithm",
    "LocalData",
    "LocalOptions",
    "Loss",
    "MetaGradient",
    "NoPersonaliseOptions",
    "OptimizerLoop",
    "OptimizerOptions",
    "OwnOptions",
    "PFedMeOptions",
    "PerFedAvgOptions",
    "PersonaliseOptions",
    "Sampler",
    "ScaffoldOptions",
    "TrainInfo",
    "TrainingOptions",
    "UnsharedOptions",
    "apfl",
    "bfln",
    "build",
    "build_optimizer",
    "build_server_optimizer",
    "class_weights",
    "cross_entropy",
    "ditto",
    "fedavg",
    "fednova",
    "fednova_server",
    "fedprox",
    "fedrep",
    "from_gradient",
    "learning_rates",
    "local_data",
    "local_only",
    "model_delta",
    "perfedavg",
    "personal_layers",
    "pfedme",
    "proximal_gradient",
    "scaffold",
    "scaffold_server",
    "split_support_query",
    "stateless",
    "take",
    "train_together",
]
