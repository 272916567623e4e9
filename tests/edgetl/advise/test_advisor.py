"""The advice on real folders of small pictures, through the real network: colours, shuffled labels, noise."""

import csv
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from pathlib import Path

import numpy as np
import pytest
from edgetl_factories import Diary, colour_csv, colour_folder
from PIL import Image

from edgetl.advise import advisor, backbones, contest
from edgetl.advise.advisor import Advice, give_advice
from edgetl.advise.backbones import Candidate
from edgetl.advise.card import render_card
from edgetl.advise.data import NAMED_OF_EACH, Copies, Listed, Near
from edgetl.advise.follow import advised, follow, request_of
from edgetl.advise.page import render_page
from edgetl.advise.probe import Gain
from edgetl.advise.race import Lap, Race
from edgetl.advise.request import Request
from edgetl.advise.resources import Speeds
from edgetl.advise.trials import try_approaches
from edgetl.backbones import Backbone, create_backbone
from edgetl.cost import Cost, Limits
from edgetl.dataset import Dataset, load_dataset
from edgetl.events import Watcher
from edgetl.recipe import Recipe
from edgetl_runtime.errors import InputError
from edgetl_runtime.pictures import Picture, Unreadable

LITE0 = ("efficientnet_lite0",)
SIDE = 64  # A twelfth of the work.


@pytest.fixture(autouse=True, scope="module")
def small_networks() -> Iterator[None]:
    def smaller(name: str) -> Backbone:
        found = create_backbone(name)
        return replace(found, native=replace(found.native, size=SIDE))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contest, "open_candidate", smaller)
        yield


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_folder(tmp_path_factory.mktemp("colours"), 30, {"red": "<b>red"})


@pytest.fixture(scope="module")
def advice(colours: Path, shared_cache: Path) -> Advice:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGETL_CACHE", str(shared_cache))
        return give_advice(load_dataset(colours), Request(LITE0, trials=False))


def test_the_facts_are_those_of_the_pictures(advice: Advice) -> None:
    assert sum(advice.data.splits.values()) == 90
    assert list(advice.data.per_class) == ["<b>red", "blue", "green"]
    assert advice.data.sides == (40, 40, 40)
    assert (advice.data.copies, advice.data.leaks, advice.suspicions.near) == (
        0,
        Listed(0, ()),
        Listed(0, ()),
    )
    assert advice.suspicions.looked_at == 90
    assert advice.resources.cores >= 1
    assert advice.resources.pictures_per_s > 0


def test_easy_pictures_need_no_tuning_and_say_so(advice: Advice) -> None:
    assert advice.backbone == "efficientnet_lite0"
    assert advice.similarity.signal_p == 1 / 200
    assert advice.similarity.ridge.pretrained >= 0.9
    assert advice.plan.transfer in ("helps", "not shown", "does not help")  # Colours need no pretraining.
    assert advice.plan.approach == "head" or advice.similarity.ridge.pretrained < 0.98
    assert set(advice.unprobed.values()) == {"trials are switched off"}


def test_the_card_has_80_columns_and_all_its_parts(advice: Advice) -> None:
    lines = render_card(advice).splitlines()
    assert max(map(len, lines)) <= 80
    for title in ("Pictures", "Backbones, best first", "Transfer", "This machine"):
        assert title in lines
    assert f"Plan: {advice.plan.approach}" in lines
    assert lines[-1].endswith(" s. Next: edgetl train DATA --backbone auto --out RUN")


def test_the_card_says_how_the_race_ended_and_whether_that_is_proven(advice: Advice) -> None:
    laps = (Lap("a", 1, 0.3, 0.9, 1.0), Lap("b", 1, 0.4, 0.8, 1.0))
    proven = Race(("a", "b"), laps, Gain(0.1, 0.02), "")
    card = render_card(replace(advice, race=proven))
    assert "race, loss in nats: a 0.300 in round 1, b 0.400 in round 1" in card
    assert "a leads b by 0.100 ± 0.020, proven\n" in card
    assert "race stopped" not in card
    open_ = replace(proven, lead=Gain(-0.1, 0.2), stopped="3 s for the race are used up")
    card = render_card(replace(advice, race=open_))
    assert "a leads b by -0.100 ± 0.200, not proven, so the ranking stands\n" in card
    assert "race stopped: 3 s for the race are used up\n" in card
    turned = replace(proven, laps=laps[::-1], lead=Gain(0.01, 0.03))
    assert "a leads b by 0.010 ± 0.030, not proven\n" in render_card(replace(advice, race=turned))
    nobody_ran = render_card(replace(advice, race=Race(("a", "b"), (), None, "0 s for the race are used up")))
    assert "race, loss in nats: none ran\n" in nobody_ran


def test_the_card_and_the_page_say_how_to_follow_the_advice_that_was_asked_for(advice: Advice) -> None:
    flags = Request(LITE0, Limits(20.0), 60.0, settings={"size": SIDE}).flags()
    command = render_card(advice, flags).splitlines()[-3:]
    assert command[0].endswith(" s. Next: edgetl train DATA --backbone auto \\")
    assert command[1:] == [
        "  --candidates efficientnet_lite0 --max-latency-ms 20 --size 64 \\",
        "  --time-budget 60 --out RUN",
    ]
    assert "\n".join(command) in render_page(advice, flags)


def test_the_page_needs_nothing_else_and_escapes_names(advice: Advice, colours: Path) -> None:
    doubts = tuple(backbones_doubt(path, "<b>red") for path in sorted(colours.rglob("*.png"))[:2])
    page = render_page(replace(advice, suspicions=replace(advice.suspicions, doubts=doubts)))
    assert page.count('src="data:image/jpeg;base64,') == 2
    assert "Doubtful labels: 2" in page
    assert "&lt;b&gt;red" in page
    assert "<b>" not in page
    assert "http" not in page


def test_page_and_card_show_the_first_near_duplicates_and_count_the_rest(
    advice: Advice, colours: Path
) -> None:
    files = sorted(colours.rglob("*.png"))[:NAMED_OF_EACH]
    pictures = tuple(Picture(path, 64 * "0", ("<b>red",), "train") for path in files)
    pictures = (replace(pictures[0], split="val"), *pictures[1:])
    near = Near(pictures, {"train": 3_999, "val": 1}, 3, 0.9)
    suspicions = replace(advice.suspicions, near=Listed(1, (near,)), alike=4_000, across=2)
    found = replace(advice, suspicions=suspicions)
    page = render_page(found)
    assert page.count('src="data:image/jpeg;base64,') == 4
    assert "3,999 in train, 1 in val; the first two differ in 3 of 256 bits" in page
    assert f"val, &lt;b&gt;red: {escape(str(files[0]))}<br>train, " in page
    assert "3,990 more</figcaption>" in page
    lines = render_card(found).splitlines()
    assert "4,000 near duplicates in 1 groups, 2 across splits, among 90 pictures" in lines
    assert "  near: …lours0/<b>red/0.png in val and …lours0/<b>red/1.png in train, of 4,000" in lines
    assert len(json.dumps(found.to_json()["suspicions"]["near"])) < 5_000


def test_the_page_can_hold_names_that_are_not_utf_8(advice: Advice) -> None:
    left_out = Listed(1, (Unreadable(Path("caf\udce9.jpg"), "is empty"),))
    page = render_page(replace(advice, data=replace(advice.data, unreadable=left_out)))
    assert b"<p>caf\\udce9.jpg is empty</p>" in page.encode()


def test_page_and_card_name_what_was_left_out_and_copies(advice: Advice, colours: Path) -> None:
    red, blue = colours / "<b>red" / "0.png", colours / "blue" / "0.png"
    one, other = Picture(red, 64 * "0", ("<b>red",), "train"), Picture(blue, 64 * "0", ("blue",), "test")
    facts = replace(
        advice.data,
        unreadable=Listed(200, (Unreadable(Path("photos/train/<b>/empty.png"), "is empty"),)),
        leaks=Listed(1, (Copies((one, one, other), 70),)),
        conflicts=Listed(1, (Copies((one, one, other), 3),)),
    )
    found = replace(advice, data=facts)
    page = render_page(found)
    assert page.count('src="data:image/jpeg;base64,') == 2  # Copies look the same: one thumbnail for all.
    assert "<h2>Left out: 1 of 200</h2>\n<p>photos/train/&lt;b&gt;/empty.png is empty</p>" in page
    assert "<h2>Copies in several splits: 1</h2>" in page
    assert f"<br>test, blue: {blue}<br>67 more</figcaption>" in page
    assert f"<br>test, blue: {blue}</figcaption>" in page
    lines = render_card(found).splitlines()
    assert "  left out: train/<b>/empty.png is empty" in lines
    assert "  leakage: …lours0/<b>red/0.png in train and colours0/blue/0.png in test" in lines
    place = lines.index("  contradiction: …lours0/<b>red/0.png as '<b>red' and colours0/blue/0.png as")
    assert lines[place + 1] == "    'blue'"
    assert max(map(len, lines)) <= 80
    told = found.to_json()["data"]
    assert told["unreadable"] == {
        "count": 200,
        "first": [{"path": "photos/train/<b>/empty.png", "reason": "is empty"}],
    }
    assert told["leaks"]["first"][0]["pictures"][2]["path"] == str(blue)


def test_names_that_no_training_takes_are_refused_before_anything_is_measured(tmp_path: Path) -> None:
    diary = Diary()
    dataset = load_dataset(colour_folder(tmp_path, 8, {"red": "a|b"}))
    with pytest.raises(InputError, match=r"cannot hold the class 'a\|b'\. Rename it"):
        give_advice(dataset, Request(LITE0), diary)
    assert diary.phases == []


def backbones_doubt(path: Path, given: str) -> object:
    from edgetl.advise.data import Doubt

    return Doubt(path, given, "blue", 0.7)


def test_a_single_validation_picture_is_refused_before_anything_is_measured(colours: Path) -> None:
    dataset, diary = load_dataset(colours), Diary()
    with pytest.raises(InputError, match="has one picture for validation"):
        give_advice(replace(dataset, val=dataset.val[:1]), Request(LITE0), diary)
    assert diary.phases == []


def test_the_card_compares_both_ends_of_a_network_only_where_both_have_a_reference(advice: Advice) -> None:
    lone = replace(advice.similarity, distances=advice.similarity.distances[:1])
    assert "over the first third of the network" in render_card(advice)
    card = render_card(replace(advice, similarity=lone))
    assert "distance from the pretraining pictures" in card
    assert "over the first third" not in card


def test_the_advice_is_json(advice: Advice) -> None:
    doubt = backbones_doubt(Path("a\udce9.png"), "<b>red")
    left_out = Candidate("b", None, None, left_out="6.0 ms, more than 5")
    suspicions = replace(advice.suspicions, doubts=(doubt,))
    told = replace(advice, suspicions=suspicions, candidates=(*advice.candidates, left_out)).to_json()
    assert told == json.loads(json.dumps(told, allow_nan=False))
    assert told["suspicions"]["doubts"][0]["path"] == r"a\udce9.png"
    assert told["candidates"][1]["knn"] is None
    found = advice.to_json()
    assert found["plan"]["approach"] == advice.plan.approach
    assert found["similarity"]["deep"] == pytest.approx(advice.similarity.deep)
    assert len(found["candidates"]) == 1


def relabelled(folder: Path, csv_path: Path) -> Path:
    """List the pictures with labels that belong to others."""
    paths = sorted(folder.rglob("*.png"))
    labels = [path.parent.name for path in paths]
    random.Random(0).shuffle(labels)
    with csv_path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label"), *zip(paths, labels, strict=True)])
    return csv_path


def test_shuffled_labels_have_no_signal_and_the_plan_says_so(colours: Path, tmp_path: Path) -> None:
    dataset = load_dataset(relabelled(colours, tmp_path / "shuffled.csv"))
    found = give_advice(dataset, Request(LITE0))
    assert (found.plan.approach, found.plan.transfer) == ("head", "no signal")
    assert "no better than shuffled labels" in found.plan.reasons[0]
    assert found.suspicions.skipped == "the features tell no class from another"
    assert set(found.unprobed.values()) == {"the plan does not depend on it"}
    assert found.gains == {}


def test_pictures_of_noise_have_no_signal_and_are_far_from_imagenet(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(60):
        path = tmp_path / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)).save(path)
    found = give_advice(load_dataset(tmp_path), Request(LITE0, trials=False))
    assert found.plan.transfer == "no signal"
    assert found.similarity.distances[-1].distance > 0.3
    assert found.suspicions.near == Listed(0, ())


def test_what_random_features_tell_apart_better_is_signal_without_transfer(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(72):
        place = tmp_path / "abc"[number % 3] / f"{number}.png"
        place.parent.mkdir(exist_ok=True)
        pixels = rng.integers(0, 200, (SIDE, SIDE, 3))
        pixels[..., number % 3] += rng.integers(8, 25)
        Image.fromarray(pixels.astype(np.uint8)).save(place)
    found = give_advice(load_dataset(tmp_path), Request(LITE0, trials=False))
    assert found.similarity.ridge.random > found.similarity.ridge.pretrained
    assert found.plan.transfer == "does not help"
    assert found.plan.approach != "scratch"


def test_the_best_of_the_installed_ones_competes_with_all_its_depths_too(
    colours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contest, "candidate_names", lambda given: list(given) or list(LITE0))
    found = give_advice(load_dataset(colours), Request(trials=False, pictures=20))
    assert {one.name for one in found.candidates} == {"efficientnet_lite0", "efficientnet_lite0:depths"}
    assert max(map(len, render_card(found).splitlines())) <= 80


def test_pictures_with_several_labels_are_advised_too(tmp_path: Path) -> None:
    dataset = load_dataset(colour_csv(tmp_path, 12))
    found = give_advice(dataset, Request(LITE0, trials=False, pictures=30))
    assert found.suspicions.skipped == "pictures may have several labels"
    assert found.similarity.n <= 30
    assert found.plan.reasons


def test_what_exceeds_the_limits_is_left_out_and_named(
    colours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = {"efficientnet_lite0": Cost(4.0, 7_000_000), "efficientnet_lite1": Cost(6.0, 8_000_000)}
    monkeypatch.setattr(backbones, "find_cost", lambda backbone, classes: costs[backbone.name])
    limits, diary = Limits(latency_ms=5.0), Diary()
    request = Request(("efficientnet_lite1", "efficientnet_lite0"), limits, trials=False, pictures=20)
    found = give_advice(load_dataset(colours), request, diary)
    assert [one.name for one in found.candidates] == ["efficientnet_lite0", "efficientnet_lite1"]
    assert found.candidates[1].left_out == "6.0 ms, more than 5"
    assert "Left out: efficientnet_lite1; 6.0 ms, more than 5." in diary.notes
    assert "left out: efficientnet_lite1" in render_card(found)
    with pytest.raises(InputError, match=r"No backbone is left \(.*7\.0 MB, more than 2\)"):
        give_advice(load_dataset(colours), Request(LITE0, Limits(size_mb=2.0), trials=False))


def test_a_backbone_that_cannot_take_the_size_leaves_the_others_in_the_contest(
    colours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(name: str) -> Backbone:
        return create_backbone(name, weights="none")

    monkeypatch.setattr(contest, "open_candidate", opened)
    vit, diary = "timm/vit_tiny_patch16_224", Diary()
    request = Request((vit, *LITE0), trials=False, pictures=20, settings={"size": 32})
    found = give_advice(load_dataset(colours), request, diary)
    assert (found.backbone, found.candidates[1].name) == ("efficientnet_lite0", vit)
    assert found.candidates[1].left_out.startswith("it cannot take pictures of 32 × 32 pixels (Input height")
    assert f"Left out: {vit}; {found.candidates[1].left_out}." in diary.notes
    with pytest.raises(InputError, match=r"No backbone is left .* ask for another size"):
        give_advice(load_dataset(colours), replace(request, backbones=(vit,)))


def test_auto_follows_the_advice_and_flags_win(colours: Path, tmp_path: Path, advice: Advice) -> None:
    found = advice.to_json() | {"seconds": 100.0}
    found["plan"] = dict(found["plan"]) | {"settings": {"unfreeze": [9]}}
    recipe = follow(Recipe(backbone="auto"), found, {"backbone"})
    assert (recipe.backbone, recipe.unfreeze) == ("efficientnet_lite0", (9,))
    assert recipe.time_budget_s == 500
    kept = follow(Recipe(backbone="auto", unfreeze=(2,), time_budget_s=50), found, {"unfreeze"})
    assert (kept.unfreeze, kept.time_budget_s) == ((2,), 1)
    found["plan"]["settings"] = {"weights": "none", "unfreeze": "output"}
    half = follow(Recipe(backbone="auto", unfreeze=(2,)), found, {"unfreeze"})
    assert (half.weights, half.unfreeze) == ("default", (2,))


def test_other_backbones_follow_in_the_order_that_was_found(advice: Advice) -> None:
    names = {"a": "", "efficientnet_lite0": "", "b": "6.0 ms, more than 5", "c": ""}
    judged = tuple(Candidate(name, None, None, left_out=reason) for name, reason in names.items())
    found = replace(advice, candidates=judged).to_json()
    assert follow(Recipe(backbone="auto", target_accuracy=1.0), found, set()).candidates == ("a", "c")


def test_advice_is_asked_for_with_what_the_user_has_named() -> None:
    recipe = Recipe(
        backbone="auto",
        size=96,
        views="flips",
        candidates=("a", "b"),
        max_latency_ms=5.0,
        max_size_mb=8.0,
        time_budget_s=99.0,
        seed=3,
    )
    named = {"backbone", "size", "views", "candidates", "max_latency_ms", "max_size_mb", "seed"}
    asked = request_of(recipe, named)
    assert (asked.backbones, asked.limits) == (("a", "b"), Limits(5.0, 8.0))
    assert (asked.time_budget_s, asked.seed) == (99.0, 3)
    assert asked.settings == {"size": 96, "views": "flips"}
    trial = asked.recipe(backbone="a", epochs=2)
    assert (trial.size, trial.views, trial.epochs, trial.seed) == (96, "flips", 2, 3)
    assert request_of(Recipe(backbone="auto"), {"backbone"}) == Request()


def test_features_and_speeds_are_those_of_the_size_that_was_asked_for(
    colours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def speeds(backbone: Backbone, pictures: object, classes: int) -> Speeds:
        seen.append(backbone.native.size)
        return Speeds(0.1, {9: 0.0}, 0.002)

    monkeypatch.setattr(advisor, "measure_speeds", speeds)
    plain, mirrored = (
        give_advice(
            load_dataset(colours),
            Request(LITE0, trials=False, pictures=20, settings={"size": 32, "views": views}),
        )
        for views in ("none", "flips")
    )
    assert seen == [32, 32]
    train, val = (plain.data.splits[name] for name in ("train", "val"))
    assert plain.resources.minutes["head"] == pytest.approx((0.1 * (train + val) + 0.002 * train) / 60)
    assert mirrored.resources.minutes["head"] == pytest.approx(
        (0.1 * (4 * train + val) + 0.002 * 4 * train) / 60
    )


def test_a_training_that_goes_on_keeps_its_advice(colours: Path, tmp_path: Path, advice: Advice) -> None:
    dataset, recipe, diary = load_dataset(colours), Recipe(backbone="auto"), Diary()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgetl.advise.advisor.give_advice", lambda *_: advice)
        first, told = advised(dataset, recipe, set(), tmp_path, diary)
        patch.setattr("edgetl.advise.advisor.give_advice", None)  # It would be called in vain.
        again, _ = advised(dataset, recipe, set(), tmp_path, diary)
    assert first == again
    assert told["backbone"] == "efficientnet_lite0"
    assert diary.notes[0].startswith(f"As advised: {advice.plan.approach} with efficientnet_lite0.")
    named = Recipe(backbone="efficientnet_lite1")
    assert advised(dataset, named, set(), tmp_path, diary) == (named, {})


@pytest.mark.parametrize(("begun", "asked"), [(False, 2), (True, 1)])
def test_another_budget_is_advised_anew_until_the_training_has_begun(
    begun: bool, asked: int, colours: Path, tmp_path: Path, advice: Advice, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, diary, budgets = load_dataset(colours), Diary(), []

    def give(dataset: Dataset, request: Request, watcher: Watcher) -> Advice:
        budgets.append(request.time_budget_s)
        return advice

    monkeypatch.setattr("edgetl.advise.advisor.give_advice", give)
    advised(dataset, Recipe(backbone="auto", time_budget_s=60), {"time_budget_s"}, tmp_path, diary)
    (tmp_path / ("attempt-1" if begun else "else")).mkdir()
    longer = Recipe(backbone="auto", time_budget_s=6000, target_accuracy=0.9)
    recipe, _ = advised(dataset, longer, {"time_budget_s", "target_accuracy"}, tmp_path, diary)
    assert budgets == [60, 6000][:asked]
    assert recipe.time_budget_s == 6000 - advice.seconds
    assert ("Goes on as advised for 60 s; a fresh --out is advised anew." in diary.notes) is begun


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"time_budget_s": 0.0}, "--time-budget must be seconds above 0, got 0.0"),
        ({"pictures": 3}, "--pictures must be at least 10, got 3"),
    ],
)
def test_requests_that_mean_nothing_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Request(**wrong)
    with pytest.raises(InputError, match="--max-size-mb must be a number above 0, got -1"):
        Limits(size_mb=-1)
    with pytest.raises(InputError, match=r"Recipe\.views must be one of .*, got 'round'"):
        Request(settings={"views": "round"})


def test_a_trial_too_long_for_its_share_is_not_begun(advice: Advice, colours: Path) -> None:
    from edgetl.advise.plan import Facts

    minutes = dict.fromkeys(("head", "staged", "full", "input", "scratch", "first step"), 0.1)
    facts = Facts(60, 20, 40, 224, 9, 0.005, 0.1, 0.2, 0.8, None, None, minutes, 10)
    speeds = Speeds(0.01, {9: 100.0}, 0.0)
    found = try_approaches(
        load_dataset(colours), "efficientnet_lite0", facts, speeds, Request(LITE0), lambda name: None
    )
    assert (found.gains, found.over_staged) == ({}, {})
    assert found.unprobed["full"].startswith("a trial would take ")
    assert found.unprobed["scratch"] == "transfer helps"
    assert found.unprobed["input"].startswith("a trial would take ")
    assert found.unprobed["staged"].startswith("it is the default, ")
