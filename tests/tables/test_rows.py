"""The rows of scripts/tables.yaml: whole, scaled, spread over seeds, identified; their commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SHIPPED = Path(__file__).resolve().parents[2] / "scripts" / "tables.yaml"


def test_shipped_rows_are_whole_and_known_to_the_trainer() -> None:
    from table_rows import read_rows, train_arguments

    from ganinv.parts import load_config
    from plugin_ganinpaint.training.entry import find_config
    from plugin_ganinpaint.training.settings import TrainConfig

    rows = read_rows(SHIPPED)
    names = list(rows)
    assert (
        names[0] == "encoder"
        and names[-1].endswith("-s2")
        and names.index("no-edit") < names.index("ours-1-s1")
    )
    for row in rows.values():
        if row.train and row.train.method == "diverse-inpaint":
            overrides = [a for a in train_arguments(row, Path("out")) if "=" in a]
            settings = load_config(TrainConfig, find_config(row.train.config, None), overrides)
            assert row.train.stage and settings.stage(row.train.stage).images == row.train.images > 0
        assert row.name == "comod" or not row.train or row.begins_from or row.shared


def test_evaluations_of_shipped_rows_are_settings_of_evaluate() -> None:
    from table_rows import read_rows

    from ganinv.evaluation.settings import EvaluationSettings

    settings = {
        (row.name, which): EvaluationSettings(**{**options, "masks": tuple(options["masks"])})
        for row in read_rows(SHIPPED).values()
        for which, options in row.evaluations.items()
    }
    assert settings["ours-2", "main"].calibrate == ["smile", "glasses", "beard"]
    assert settings["ours-2-s1", "main"].calibrate == () and ("ours-2-s1", "families") not in settings
    assert (
        settings["optimize", "main"].count == 100 and settings["ours-2", "truncation-0.5"].truncation == 0.5
    )


def test_scale_and_count(rows_file: Callable[..., Path]) -> None:
    from table_rows import read_rows, scaled

    assert scaled({"stage1.images": 1000, "images": 5, "batch": 8, "stage1.code_images": 0}, 0.1) == {
        "stage1.images": 100, "images": 16, "batch": 8, "stage1.code_images": 0,
    }  # fmt: skip
    row = read_rows(rows_file(), scale=0.1, count=10)["ours-1"]
    assert row.train is not None and (row.train.images, row.train.code_images) == (100, 60)
    assert (row.evaluations["main"]["count"], row.evaluations["main"]["edits"]) == (10, 10)


def test_seeds_begin_from_their_own_seed(rows_file: Callable[..., Path]) -> None:
    from table_rows import ancestors, read_rows

    rows = read_rows(rows_file())
    assert list(rows) == ["start", "ours-1", "ours-2", "grey", "ours-1-s1", "ours-2-s1"]
    assert [row.name for row in ancestors(rows["ours-2-s1"], rows)] == ["start", "ours-1-s1"]
    assert rows["ours-2-s1"].train and rows["ours-2-s1"].train.overrides["seed"] == 1
    assert list(rows["ours-2-s1"].evaluations) == ["main"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"grey": {"colour": 1}}, "row grey in .* has colour; known: begins_from, evaluate"),
        ({"ours-2": {"takes": "all"}}, r"row ours-2 .* begins_from and takes \(encoder, state, weights\)"),
        ({"ours-1": {"begins_from": "ours-2"}}, "row ours-1 begins from ours-2, which comes later"),
        ({"ours-1": {"begins_from": "none"}}, "row ours-1 begins from none, which is no row"),
        ({"grey": {"begins_from": "ours-1", "takes": "state"}}, "row grey .* is not trained, so all it can"),
        ({"grey": {"evaluate": {"night": {}}}}, "row grey has evaluation 'night'; known: main, half"),
    ],
)
def test_rows_that_cannot_be(rows_file: Callable[..., Path], change: dict[str, Any], text: str) -> None:
    from table_rows import TableError, read_rows

    with pytest.raises(TableError, match=text):
        read_rows(rows_file(**change))


def test_select_names_the_rows(rows_file: Callable[..., Path]) -> None:
    from table_rows import TableError, read_rows, select, with_ancestors

    rows = read_rows(rows_file())
    assert [row.name for row in select(rows, "grey, ours-1")] == ["ours-1", "grey"]
    assert [row.name for row in with_ancestors(select(rows, "ours-2"), rows)] == ["start", "ours-1", "ours-2"]
    with pytest.raises(TableError, match=r"no row red; the rows are start, ours-1"):
        select(rows, "grey,red")


def test_digests_follow_what_moves_a_number(rows_file: Callable[..., Path]) -> None:
    from table_rows import evaluation_digest, read_rows, training_digest

    def digests(path: Path, **options: Any) -> tuple[str, str, str]:
        rows = read_rows(path, **options)
        return (
            training_digest(rows["ours-2"], rows),
            evaluation_digest(rows["ours-2"], "main", rows),
            training_digest(rows["grey"], rows),
        )

    one = digests(rows_file())
    assert digests(rows_file(**{"ours-2": {"label": "other", "tables": []}})) == one and one[2] == ""
    measured = digests(rows_file(**{"ours-2": {"measure": {"method": "m", "options": {"stage": 2}}}}))
    assert measured[0] == one[0] and measured[1] != one[1]
    assert digests(rows_file(), count=9)[0] == one[0] and digests(rows_file(), count=9)[1] != one[1]
    first = {"method": "m", "stage": 1, "set": {"stage1.images": 2000}}  # of what ours-2 begins from
    changed = digests(rows_file(start={"train": first}))
    assert changed[0] != one[0] and changed[1] != one[1]


def test_digests_follow_the_configuration_file(rows_file: Callable[..., Path], tmp_path: Path) -> None:
    from table_rows import read_rows, training_digest

    config = tmp_path / "mine.yaml"
    train = {"method": "m", "config": str(config), "stage": 1, "set": {"stage1.images": 2000}}
    config.write_text("seed: 1\n")
    rows = read_rows(rows_file(start={"train": train}))
    before = training_digest(rows["ours-2"], rows)
    config.write_text("# the same, told otherwise\nseed:   1\n")
    assert training_digest(rows["ours-2"], rows) == before
    config.write_text("seed: 2\n")
    assert training_digest(rows["ours-2"], rows) != before


def test_digests_follow_the_generator(
    rows_file: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import table_rows

    def digests() -> tuple[str, str, str]:
        table_rows._generator.cache_clear()
        return (
            table_rows.training_digest(rows["ours-2"], rows),
            table_rows.evaluation_digest(rows["grey"], "main", rows),
            table_rows.evaluation_digest(rows["plain"], "main", rows),
        )

    train = {"method": "m", "stage": 1, "set": {"stage1.images": 2000, "backbone": "ours"}}
    grey = {"method": "grey", "backbone": "ours", "weights": False}
    plain = {"measure": {"method": "grey", "weights": False}, "evaluate": {"main": {}}}
    rows = table_rows.read_rows(rows_file(start={"train": train}, grey={"measure": grey}, plain=plain))
    file = tmp_path / "ours.safetensors"
    monkeypatch.setattr(
        table_rows, "find_model", lambda name, kind: {("ours", "generator"): file}[name, kind]
    )
    file.write_text("the generator")
    before = digests()
    assert digests() == before
    file.write_text("another")
    assert [one == other for one, other in zip(digests(), before, strict=True)] == [False, False, True]


def test_commands(rows_file: Callable[..., Path]) -> None:
    from table_rows import evaluate_arguments, read_rows, train_arguments

    overrides = {"network.gate": False, "network.skip_resolutions": [8, 16]}
    train = {"method": "m", "config": "c", "stage": 1, "set": overrides}
    rows = read_rows(rows_file(**{"ours-1": {"train": train}}))
    assert train_arguments(rows["ours-1"], Path("o"), ["start_from=f"], resume=True) == [
        "train", "--method", "m", "--config", "c", "--stage", "1", "network.gate=false",
        "network.skip_resolutions=[8,16]", "start_from=f", "--out", "o", "--json", "--resume",
    ]  # fmt: skip
    assert evaluate_arguments(rows["ours-1"], "main", Path("w"), Path("o"), fresh=True) == [
        "evaluate", "--method", "m", "--weights", "w", "--option", "stage=1", "--masks", "a", "--masks", "b",
        "--edits", "20", "--samples", "4", "--count", "500", "--out", "o", "--json", "--fresh",
    ]  # fmt: skip
