import pytest

from dfd.clips.blend import BlendConfig
from dfd.errors import ConfigError
from dfd.inference.info import SHIPPED
from dfd.models.checkpoint import read_checkpoint
from dfd.training.recipes import RECIPES, as_yaml, purpose, read_yaml, recipe


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_round_trips(tmp_path, name):
    whole, file = recipe(name), tmp_path / "whole.yaml"
    file.write_text(as_yaml(whole, purpose(name)), encoding="utf-8")
    assert read_yaml(file, recipe("gpu" if name == "tiny" else "tiny")) == whole
    assert 20 < len(purpose(name)) < 100  # one line of --help


def test_overrides_change_only_their_settings(tmp_path):
    file, base = tmp_path / "few.yaml", recipe("blend")
    file.write_text("train:\n  lr: 1e-4\nblend:\n  ratios: [1]\nmodel:\n")
    changed = read_yaml(file, base)
    assert changed.train == base.train.replace(lr=1e-4)
    assert changed.blend == BlendConfig(shift=0.06, turn=1.0, ratios=(1.0,))
    assert (changed.model, changed.clip, changed.augment) == (base.model, base.clip, base.augment)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("train:\n  wings: 2\n", "unknown setting 'train.wings'; there are balance, slices, "),
        ("wings: 2\n", "unknown setting 'wings'; there are model, clip, train, augment, blend"),
        ("train:\n  lr: fast\n", "train.lr is 'fast': input should be a valid number"),
        ("train: 3\n", "train is 3: input should be a valid dictionary"),
        ("train:\n  1: 3\n", "train.1 is 1: keys should be strings"),
        ("", "holds no settings: it has parts, model, clip,"),
        ("- a\n", "holds no settings"),
        ("a: [\n", "is no YAML: while parsing a flow node"),
        ("a: " + "[" * 500, "is no YAML: maximum recursion depth"),
        ("a: 2001-99-99\n", "is no YAML: month must be in 1..12"),
        ("a: !!timestamp x\n", "is no YAML: "),
        ("a: !!python/object:os.system x\n", "is no YAML: could not determine a constructor"),
        ("a: \udcff\n", "is no YAML: 'utf-8' codec can't decode"),
    ],
)
def test_a_file_without_settings_is_a_one_line_error(tmp_path, content, message):
    file = tmp_path / "bad.yaml"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError) as error:
        read_yaml(file, recipe("tiny"))
    assert str(error.value).startswith(str(file))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unknown_recipe_lists_the_known_ones():
    with pytest.raises(ConfigError, match="^unknown recipe 'huge'; there are tiny, cpu, gpu"):
        recipe("huge")


@pytest.mark.skipif(not (SHIPPED / "bundle.json").is_file(), reason="this checkout has no shipped detector")
def test_finetune_feeds_the_shipped_network_what_it_was_trained_on():
    started, mine = read_checkpoint(SHIPPED / "member-1.pt")[0], recipe("finetune")
    assert mine.model.backbone == started.model.backbone
    assert (mine.clip.margin, mine.clip.size, mine.clip.length) == (
        started.clip.margin,
        started.clip.size,
        started.clip.length,
    )
