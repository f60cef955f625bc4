"""Options of synthetic balancing: one class a generator, told apart by ``generator``."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bofl_jax.core.options import Options
from bofl_jax.synthesis.base import Training

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

    trainings = ("local", "pooled")
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


GenerationOptions = Annotated[
    NoSynthesisOptions | OversampleOptions | SmoteOptions | PcaGaussianOptions,
    Field(discriminator="generator"),
]
