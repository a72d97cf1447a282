import pytest
from pydantic import Field

from dfd.config import Config
from dfd.errors import ConfigError


class Settings(Config):
    size: int = Field(8, ge=1, le=16)
    rate: float = 1.0


def test_the_message_names_the_setting_the_value_and_valid_choices():
    for values, message in (
        ({"sise": 3}, "run.json: unknown setting 'sise'; there are size, rate"),
        ({"size": 17}, "run.json: size is 17: input should be less than or equal to 16"),
        ({"rate": "fast"}, "run.json: rate is 'fast': input should be a valid number"),
        ({"rate": float("nan")}, "run.json: rate is nan: input should be a finite number"),
    ):
        with pytest.raises(ConfigError) as error:
            Settings.read(values, "run.json")
        assert str(error.value).startswith(message)


def test_an_unknown_nested_setting_lists_the_valid_ones() -> None:
    class Whole(Config):
        part: Settings = Settings()

    with pytest.raises(ConfigError, match="^here: unknown setting 'part.sise'; there are size, rate$"):
        Whole.read({"part": {"sise": 3}}, "here")


def test_replace_validates_and_leaves_the_original_unchanged():
    old = Settings()
    assert old.replace(size=4).size == 4
    assert old.size == 8
    with pytest.raises(ConfigError, match="size is 0"):
        old.replace(size=0)


def test_settings_round_trip_through_json():
    assert Settings.model_validate_json(Settings(size=3).model_dump_json()) == Settings(size=3)
