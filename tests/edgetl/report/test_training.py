"""How a run was trained, as its history tells it and as it is drawn."""

import pytest
from report_factories import GAP, SEARCH, STEPS, facts_of, page_of, run_sources

from edgetl.report.sections import training
from edgetl_runtime.errors import InputError


def test_training_tells_its_steps_and_curves(tmp_path):
    found = training.context(facts_of(run_sources(tmp_path)))
    assert [(step.name, step.kept) for step in found.history.steps] == [
        ("head", True),
        ("last 2 stages", True),
        ("all stages", False),
    ]
    loss, balanced = found.panels
    assert [line.name for line in loss.lines] == ["last 2 stages", "all stages, not kept"]
    assert [len(line.dots) for line in balanced.lines] == [3, 3]
    assert loss.text == (
        "Loss on validation, nats: 0.50 with the solved head, 0.27 after 6 epochs. On training pictures 0.60."
    )


def test_the_loss_in_training_is_drawn_beside_that_on_validation(tmp_path):
    loss, balanced = training.context(facts_of(run_sources(tmp_path))).panels
    assert [line.training.count(",") for line in loss.lines] == [3, 3]
    heights = {float(point.partition(",")[2]) for line in loss.lines for point in line.training.split()}
    assert len(heights) == 1
    assert heights.pop() < loss.start  # Upwards is less: 0.6 lies above the head's 0.5.
    assert (loss.has_training, balanced.has_training) == (True, False)
    page = page_of(run_sources(tmp_path / "again"))
    assert page.count('class="curve learned"') == 2


def test_how_a_step_was_tuned_is_told(tmp_path):
    found = training.context(facts_of(run_sources(tmp_path))).history
    assert found.steps[0].tuning is None
    tuning = found.steps[1].tuning
    assert (tuning.rate, tuning.epochs) == (5e-4, "3 of 5")
    assert [(one.laps, one.won) for one in tuning.race] == [
        ("0.410", False),
        ("0.400 → 0.380", True),
        ("diverged", False),
    ]
    assert tuning.remarks == ("no better for 4 epochs", "taken 60 % of the way from the weights before")


def test_the_gap_is_told_of_every_step_that_has_one(tmp_path):
    steps = [STEPS[0], {key: value for key, value in STEPS[1].items() if key != "gap"}, STEPS[2]]
    found = training.context(facts_of(run_sources(tmp_path / "facts", steps=steps))).history.steps
    gap = found[0].gap
    assert (gap.value, gap.low, gap.high, gap.overfits) == (pytest.approx(0.02), -0.04, 0.08, False)
    assert [step.gap for step in found] == [gap, None, gap]
    assert page_of(run_sources(tmp_path / "page", steps=steps)).count('data-value="-1">–</td>') == 1


def test_overfitting_is_named(tmp_path):
    assert "<strong>overfitting</strong>" not in page_of(run_sources(tmp_path / "none"))
    head = STEPS[0] | {"gap": GAP | {"low": 0.12, "overfits": True}}
    text = page_of(run_sources(tmp_path / "one", steps=[head, *STEPS[1:]]))
    assert text.count("<strong>overfitting</strong>") == 1


def test_how_the_settings_were_found_is_told(tmp_path):
    text = page_of(run_sources(tmp_path, recipe={"unfreeze": "output"}))
    assert "Advised: staged with efficientnet_lite0. Stages are tuned from the output." in text
    assert "<li>Transfer helps.</li>" in text
    assert "Its weights are not on this machine." in text
    assert "0.500 before; output was chosen" in text
    assert "0.0005: 0.400 → 0.380, won" in text
    assert "+2.0 <small>−4.0 to +8.0</small>" in text


def test_steps_that_were_left_out_are_named_with_the_reason(tmp_path):
    text = page_of(run_sources(tmp_path))
    assert "<li>Left out: last 5 stages; 3 epochs take 900 s of the time budget.</li>" in text


def test_a_run_of_one_attempt_that_measured_nothing_says_nothing_of_it(tmp_path):
    bare = [{key: value for key, value in step.items() if key != "tuned"} for step in STEPS]
    search = {"attempts": SEARCH["attempts"][:1], "probes": [], "advice": {}}
    for number, changes in enumerate(({"search": search}, {"search": {}})):
        text = page_of(run_sources(tmp_path / str(number), steps=bare, **changes))
        for absent in ("Advised", "Attempts", "Which side", "How each was tuned", "Left out"):
            assert absent not in text


def test_a_solved_head_alone_has_no_curve(tmp_path):
    head = {"name": "head", "parameters": 2, "seconds": 1, "validation_loss": 0.5, "accuracy": 1}
    head |= {"balanced_accuracy": 1, "kept": True, "reason": "solved", "epochs": []}
    assert training.context(facts_of(run_sources(tmp_path, steps=[head]))).panels == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": [{"name": "head"}]},
        {"steps": [STEPS[1] | {"tuned": {"learning_rate": 1}}]},
        {"search": {"attempts": [1]}},
        {"search": {"left_out": ["all stages"]}},
        {"search": {"advice": {"plan": {}}}},
        {"search": {"advice": SEARCH["advice"] | {"plan": {"approach": "head", "reasons": []}}}},
    ],
)
def test_a_damaged_history_is_refused(tmp_path, changes):
    with pytest.raises(InputError, match="damaged history"):
        training.context(facts_of(run_sources(tmp_path, **changes)))


def test_damaged_figures_are_refused(tmp_path):
    with pytest.raises(InputError, match="damaged figures"):
        training.context(facts_of(run_sources(tmp_path, figures={"accuracy": {"value": 1}})))
