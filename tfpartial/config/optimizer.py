"""What `fit.optimizer` declares: one model per optimizer, by its name.

Each has its own fields beside the common ones, so that a field which the
chosen optimizer would ignore is an unknown key.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from tfpartial.config.base import Declared

Epoch = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Decay = Annotated[float, Field(ge=0, lt=1)]


class Optimizer(Declared):
    """The learning rate and the clipping, whatever the optimizer."""

    learning_rate: Positive = 1e-3
    schedule: Literal["constant", "cosine", "polynomial", "halvings"] = "cosine"
    halve_at_epochs: list[Epoch] = Field(
        default_factory=list,
        description="halvings: the rate is halved when each of these epochs, "
        "counted from 0, begins",
    )
    warmup_steps: int = Field(0, ge=0)
    clip_norm: Positive | None = Field(
        1.0, description="of the all-reduced gradient; null: off"
    )

    @model_validator(mode="after")
    def _halvings_have_epochs(self) -> Optimizer:
        epochs = self.halve_at_epochs
        if (self.schedule == "halvings") != bool(epochs):
            raise ValueError(
                "halve_at_epochs: expected epochs with schedule halvings and "
                f"none with any other, found {epochs} with {self.schedule}"
            )
        if any(after <= before for before, after in pairwise(epochs)):
            raise ValueError(
                f"halve_at_epochs: expected rising epochs, found {epochs}"
            )
        return self


class AdamW(Optimizer):
    """`adamw`, the default: Adam with decoupled weight decay."""

    name: Literal["adamw"] = "adamw"
    weight_decay: float = Field(1e-5, ge=0)


class NesterovRMSprop(Optimizer):
    """`nesterov_rmsprop`: DeepMedic's RMSProp; defaults are DeepMedic's."""

    name: Literal["nesterov_rmsprop"]
    rho: Decay = Field(0.9, description="memory of the squared gradients")
    momentum: Decay = Field(0.6, description="Nesterov's; 0: none")
    epsilon: Positive = Field(1e-4, description="added inside the root")


def _name_of(section: Any) -> str:
    """Return the name that chooses the model; overrides may leave it out."""
    if isinstance(section, Mapping):
        return str(section.get("name", "adamw"))
    return str(getattr(section, "name", "adamw"))


AnyOptimizer = Annotated[
    Annotated[AdamW, Tag("adamw")]
    | Annotated[NesterovRMSprop, Tag("nesterov_rmsprop")],
    Discriminator(
        _name_of,
        custom_error_type="optimizer_name",
        custom_error_message="expected the name adamw or nesterov_rmsprop",
    ),
]
