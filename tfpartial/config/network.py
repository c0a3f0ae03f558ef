"""What the `network:` section declares: a builder and its sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, PrivateAttr, ValidationInfo, model_validator
from pydantic_core import to_jsonable_python

from tfpartial.config.base import Declared
from tfpartial.config.validate import as_findings
from tfpartial.errors import InputError
from tfpartial.models.registry import (
    DEFAULT,
    check_sizes,
    is_foreign,
    stages_of,
)


class Network(Declared):
    """A network by name, and its sizes: arguments of its builder.

    The builder's signature says which sizes there are; all of them are
    attributes here, as a YAML file would hold them.

    Code from outside this package (`my_package.module:build`) is imported
    only if the validation context says `trust_code`: True or False. Without
    that word its sizes stay unchecked, for what needs no network.
    """

    model_config = ConfigDict(extra="allow")
    name: str = DEFAULT
    _trust_code: bool = PrivateAttr(default=False)

    @model_validator(mode="before")
    @classmethod
    def _has_sizes_of_its_builder(
        cls, section: Any, info: ValidationInfo
    ) -> Any:
        if not isinstance(section, Mapping):
            return section
        given = {str(size): value for size, value in section.items()}
        name = str(given.pop("name", DEFAULT))
        trust_code = (info.context or {}).get("trust_code")
        if is_foreign(name) and trust_code is None:
            return {"name": name, **given}
        try:
            sizes = check_sizes(name, given, bool(trust_code))
        except InputError as error:
            raise as_findings(error) from None
        return {"name": name, **to_jsonable_python(sizes)}

    def model_post_init(self, context: Any) -> None:
        """Remember whether who read the config trusts its code."""
        self._trust_code = bool((context or {}).get("trust_code"))

    @property
    def trust_code(self) -> bool:
        """Whether code from outside this package may be imported."""
        return self._trust_code

    @property
    def sizes(self) -> dict[str, Any]:
        """Keyword arguments of the builder."""
        return dict(self.model_extra or {})

    @property
    def hidden_stages(self) -> int | None:
        """How many stages a dropout rate may belong to; None: not told."""
        if is_foreign(self.name) and not self.trust_code:
            return None
        return stages_of(self.name, self.sizes, self.trust_code)
