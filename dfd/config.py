"""Base class of all settings: frozen, validated, saved with the run as JSON.

Each stage defines its settings next to its code (faces/tracklets.py, clips/sampling.py, …).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from dfd.errors import ConfigError


class Config(BaseModel):
    """Settings of one stage. A field's description is its meaning and unit; its bounds are the accepted values."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def read(cls, values: Mapping[str, Any], where: str) -> Self:
        """Validate `values`, for example from a checkpoint. `where` names their place in the error.

        Raises: ConfigError: an unknown key, a wrong type or a value out of range, with the choices.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise ConfigError(f"{where}: {explain(cls, error)}") from None

    def replace(self, **changes: Any) -> Self:
        """A copy with some settings changed, validated again."""
        return self.read({**self.model_dump(), **changes}, type(self).__name__)


def explain(model: type[BaseModel], error: ValidationError) -> str:
    """Describe the first problem in `error` in one line: the field, its value, and what would be right."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown setting {name!r}; there are {', '.join(_fields(model, first['loc'][:-1]))}"
    return f"{name} is {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}"


def _fields(model: type[BaseModel], parts: Iterable[int | str]) -> Iterable[str]:
    """Names of the settings of `model`, or of the nested model at `parts`."""
    for part in parts:
        inner = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        model = inner if isinstance(inner, type) and issubclass(inner, BaseModel) else model
    return model.model_fields
