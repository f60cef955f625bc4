"""Options of synthetic balancing: one class a generator, told apart by ``generator``."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bofl_jax.core.options import Options
from bofl_jax.synthesis.base import Training
from bofl_jax.synthesis.generators.diffusion import Target
from bofl_jax.synthesis.generators.neural import Scaling

Quota = Literal["uniform", "need-based", "validation-gated"]
Share = Annotated[float, Field(ge=0, le=1)]


class GateOptions(Options):
    """What a batch must reach to be used; see `bofl_jax.synthesis.gates` for the scores."""

    margin: float = Field(0.5, ge=0, description="values may leave the range of real ones by this part of it")
    discriminative: float = Field(0.5, ge=0, le=0.5, description="most |accuracy - 1/2| of telling real from synthetic")
    utility: Share = Field(0.85, description="least ratio of train-on-synthetic to train-on-real AUROC on real samples")
    diversity: float = Field(0.5, ge=0, description="least ratio of the mean distances within synthetic and real ones")
    distance: float = Field(
        0.9, ge=0, description="least ratio of the distances to seen and to unseen real samples, 5th percentiles"
    )
    membership: float = Field(0.55, ge=0.5, le=1, description="most AUC of telling seen from unseen real samples")
    copies: Share = Field(0.0, description="most share of exact copies of real samples")


class NoSynthesisOptions(Options):
    """No synthetic samples."""

    generator: Literal["none"] = "none"


class SynthesisOptions(Options):
    """What all generators have in common.

    Attributes:
        trainings: the ways of training that make sense for the generator.
    """

    trainings: ClassVar[tuple[Training, ...]] = ("federated", "local", "pooled")

    training: Training = Field("federated", description="how it is fitted; pooled is a reference that shares raw data")
    quota: Quota = Field("need-based", description="how a client's dose is dealt out to its rare classes")
    dose: float = Field(0.1, ge=0, le=5, description="synthetic samples at most, as a share of a client's own")
    rare_share: float = Field(0.1, gt=0, le=1, description="a class is rare below this share of a client's samples")
    class_quota: int = Field(10_000, ge=0, lt=2**32, description="samples of a client and class at most, on the ledger")
    max_batch: int = Field(10_000, ge=0, lt=2**32, description="samples of a request at most")
    approval: Literal["automatic", "auditor"] = Field("automatic", description="who approves what no rule forbids")
    holdout: float = Field(0.2, gt=0, lt=1, description="share of the training samples that only the gates see")
    probe: int = Field(200, ge=20, description="samples by which a generator is judged, beside those that are used")
    fallback: Literal["none", "oversample"] = Field("none", description="in place of a class that cannot be fitted")
    gates: GateOptions = GateOptions()
    validation_folds: int = Field(5, ge=2, description="parts of a client's samples in turn, for 'validation-gated'")
    validation_confidence: float = Field(1.645, description="standard errors by which a batch must improve them")
    validation_steps: int = Field(150, ge=1, description="local steps of the models that are compared there")


class _LocalOptions(SynthesisOptions):
    """Generators that hold a client's own samples: there is nothing to average."""

    trainings: ClassVar[tuple[Training, ...]] = ("local", "pooled")
    training: Training = Field("local", description="how it is fitted; pooled is a reference that shares raw data")


class OversampleOptions(_LocalOptions):
    """``oversample``: own samples again, with noise and stretched in time."""

    generator: Literal["oversample"]
    jitter: float = Field(0.03, ge=0, description="sd of the noise on each time sample, in units of x")
    warp: float = Field(0.1, ge=0, lt=1, description="largest stretch of the time axis")


class SmoteOptions(_LocalOptions):
    """``smote``: points between neighbours of a class."""

    generator: Literal["smote"]
    neighbours: int = Field(5, ge=1, description="k")


class PcaGaussianOptions(SynthesisOptions):
    """``pca-gaussian``: a Gaussian on a class's principal axes."""

    generator: Literal["pca-gaussian"]
    rank: int = Field(20, ge=1, description="principal axes")


class SimulatorOptions(_LocalOptions):
    """``simulator``: the mechanistic ECG model, fitted to a client's own beats; makes every class from normal ones."""

    trainings: ClassVar[tuple[Training, ...]] = ("local", "federated", "pooled")
    generator: Literal["simulator"]
    own_beats: int = Field(5, ge=2, description="own beats of a class from which on they are drawn from too")
    prior_beats: float = Field(5.0, gt=0, description="k: n own beats are trusted by n / (n + k)")
    rank: int = Field(12, ge=1, description="principal axes of the spread within a class")
    steps: int = Field(40, ge=1, description="Levenberg-Marquardt steps of the fit")
    least: int = Field(5, ge=2, description="normal beats that a client must have")


class NeuralOptions(SynthesisOptions):
    """Generators that are trained by minibatches."""

    scaling: Scaling = Field("channels", description="what samples are brought to: channels, or all entries white")
    rounds: int = Field(50, ge=1, description="how often clients train and average")
    steps: int = Field(200, ge=1, description="minibatches of a round; of the generator, for a GAN")
    batch: int = Field(64, ge=1, description="B")
    lr: float = Field(1e-3, gt=0, description="Adam's rate at first")
    average: float = Field(0.999, ge=0, lt=1, description="decay of the moving average of the parameters, a step")
    balance: float = Field(0.5, ge=0, le=1, description="how much more often rare classes are shown; 1: all alike")


class DiffusionOptions(NeuralOptions):
    """``diffusion``: a denoising diffusion model."""

    generator: Literal["diffusion"]
    width: int = Field(96, ge=2, multiple_of=2, description="channels of a token")
    depth: int = Field(4, ge=1, description="blocks")
    frame: int = Field(4, ge=1, description="neighbouring time samples that are one token")
    draws: int = Field(50, ge=1, description="steps of drawing")
    eta: float = Field(1.0, ge=0, le=1, description="noise put back while drawing: 1 as in DDPM, 0 as in DDIM")
    target: Target = Field("v", description="what the network gives")
    clip: float = Field(0.0, ge=0, description="most standard deviations of an entry while drawing; 0: any")


class GanOptions(NeuralOptions):
    """``gan``: a conditional WGAN-GP over samples as vectors, for tables and short windows."""

    generator: Literal["gan"]
    hidden: tuple[int, ...] = Field((128, 128), min_length=1, description="units of each hidden layer")
    noise: int = Field(32, ge=1, description="entries that a sample is made of")
    critic_steps: int = Field(5, ge=1, description="of the critic, to one of the generator")
    penalty: float = Field(10.0, ge=0, description="weight of the gradient penalty")
    rounds: int = Field(5000, ge=1, description="how often clients train and average")
    steps: int = Field(1, ge=1, description="of the generator, in a round; with more, unlike clients pull it apart")
    batch: int = Field(128, ge=1, description="B")
    lr: float = Field(5e-4, gt=0, description="Adam's rate at first, of both networks")


class TimeganOptions(NeuralOptions):
    """``timegan``: a TimeGAN, for windows that are time series."""

    generator: Literal["timegan"]
    scaling: Scaling = Field("channels", description="what samples are brought to [0, 1] by; none: they are there")
    hidden: int = Field(24, ge=1, description="units of a layer, and channels of latent sequences")
    layers: int = Field(3, ge=1, description="of GRU in a network; the supervisor has one less")
    frame: int = Field(8, ge=1, description="neighbouring time samples that are one step of a sequence")
    rounds: int = Field(5000, ge=1, description="how often clients train and average, in each of the three phases")
    steps: int = Field(1, ge=1, description="minibatches of a round; with more, unlike clients pull it apart")
    batch: int = Field(32, ge=1, description="B")
    lr: float = Field(2e-3, gt=0, description="Adam's rate at first")
    balance: float = Field(1.0, ge=0, le=1, description="how much more often rare classes are shown; 1: all alike")
    decay: bool = Field(True, description="whether the rates fall to zero along half a cosine in each phase")
    gamma: float = Field(1.0, ge=0, description="weight of latent sequences that the supervisor has not passed")
    gate: float = Field(0.15, ge=0, description="the discriminator rests at this loss and below")
    moments: float = Field(
        100.0, ge=0, description="weight of the distance between the batches' means and deviations, by class"
    )
    shared: float = Field(1.0, ge=0, le=1, description="how much of those is all clients', of the step before")


GenerationOptions = Annotated[
    NoSynthesisOptions
    | OversampleOptions
    | SmoteOptions
    | PcaGaussianOptions
    | SimulatorOptions
    | DiffusionOptions
    | GanOptions
    | TimeganOptions,
    Field(discriminator="generator"),
]
