"""Options that all generators of synthetic samples share; the options of one generator stand in its own file."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from bofl_jax.core.options import Options

Quota = Literal["uniform", "need-based", "validation-gated"]
Share = Annotated[float, Field(ge=0, le=1)]
TrainingMode = Literal["federated", "local", "pooled"]
"""How a generator is fitted: see `bofl_jax.synthesis.base`."""


class GateOptions(Options):
    """Limits that a synthetic batch must meet to be used; `bofl_jax.synthesis.gates` defines the scores."""

    margin: float = Field(0.5, ge=0, description="values may leave the range of real ones by this part of it")
    discriminative: float = Field(0.5, ge=0, le=0.5, description="most |accuracy - 1/2| of telling real from synthetic")
    utility: Share = Field(0.85, description="least ratio of train-on-synthetic to train-on-real AUROC on real samples")
    diversity: float = Field(0.5, ge=0, description="least ratio of the mean distances within synthetic and real ones")
    distance: float = Field(
        0.9, ge=0, description="least ratio of the distances to training and to held-out samples, 5th percentiles"
    )
    membership: float = Field(0.55, ge=0.5, le=1, description="most AUC of telling training from held-out samples")
    copies: Share = Field(0.0, description="most share of exact copies of real samples")


class NoSynthesisOptions(Options):
    """No synthetic samples."""

    generator: Literal["none"] = "none"


class SynthesisOptions(Options):
    """Options that all generators share.

    The options of a generator derive from this class and add the field ``generator``, a `Literal` with its name.

    Attributes:
        trainings: the values of ``training`` that make sense for the generator.
        cached: whether fitting takes so long that the fitted generator is kept for other runs.
    """

    trainings: ClassVar[tuple[TrainingMode, ...]] = ("federated", "local", "pooled")
    cached: ClassVar[bool] = False

    training: TrainingMode = Field("federated", description="how it is fitted; pooled is a reference without privacy")
    quota: Quota = Field("need-based", description="how a client's dose is divided among its rare classes")
    dose: float = Field(0.1, ge=0, le=5, description="synthetic samples at most, as a share of a client's own")
    rare_share: float = Field(0.1, gt=0, le=1, description="a class is rare below this share of a client's samples")
    class_quota: int = Field(10_000, ge=0, lt=2**32, description="samples of a client and class at most, on the ledger")
    max_batch: int = Field(10_000, ge=0, lt=2**32, description="samples of a request at most")
    approval: Literal["automatic", "auditor"] = Field(
        "automatic", description="who approves a request that no rule forbids"
    )
    holdout: float = Field(0.2, gt=0, lt=1, description="share of the training samples that only the gates use")
    probe: int = Field(200, ge=20, description="extra samples on which a generator is scored, not used for training")
    fallback: Literal["none", "oversample"] = Field(
        "none", description="generator for classes that the chosen one cannot be fitted to"
    )
    gates: GateOptions = GateOptions()
    validation_folds: int = Field(5, ge=2, description="folds of the cross-validation of 'validation-gated'")
    validation_confidence: float = Field(1.645, description="standard errors by which a batch must improve the loss")
    validation_steps: int = Field(150, ge=1, description="local steps of each model of the cross-validation")

    def check_sections(self, config: Any) -> None:
        """Require a ledger, and a way of training that suits the generator."""
        if config.ledger.mode == "off":
            raise ValueError(
                "synthetic samples are requested through the contract: set ledger.mode, or synthesis.generator = 'none'"
            )
        if self.training not in self.trainings:
            raise ValueError(
                f"synthesis.generator = '{getattr(self, 'generator', '')}' cannot be trained as '{self.training}': "
                f"set synthesis.training to one of {', '.join(self.trainings)}"
            )


class LocalSynthesisOptions(SynthesisOptions):
    """Options of generators that store a client's own samples or describe one client: they are fitted locally."""

    trainings: ClassVar[tuple[TrainingMode, ...]] = ("local", "pooled")
    training: TrainingMode = Field("local", description="how it is fitted; pooled is a reference without privacy")
