"""Trial after trial in one process until the study has enough: what every worker does, wherever it runs.

Knows nothing of who else is at work but what the study tells.
"""

from edgetl.search.ground import Ground
from edgetl.search.study import Study
from edgetl.search.trials import TakenOver, Trial, counted, is_surplus
from edgetl.search.trying import try_out
from edgetl.search.worker import at_work, is_dead, this_process
from edgetl_runtime.errors import InputError


def in_this_process(ground: Ground, study: Study) -> str:
    """Do what the study still lacks, here; return why it ended.

    Raises:
        KeyboardInterrupt: as soon as what is done so far is kept.
    """
    with at_work(ground.out) as token:
        return _do_trials(ground, study, token)


def _do_trials(ground: Ground, study: Study, token: str) -> str:
    """Try one configuration after another; return why it ended."""
    while True:
        study.lose_silent()
        lose_dead(ground, study)
        trials = study.trials()
        if counted(trials) >= ground.asked.trials:
            return f"{ground.asked.trials} trials are done or at work"
        if ground.seconds_left() <= 0:
            return "the time budget is used up"
        configuration = study.propose(trials)
        if configuration is None:
            return "all combinations are tried"
        trial = study.begin(configuration, token)
        if is_surplus(trial, study.trials(), ground.asked.trials):
            study.give_up(trial.number, "surplus", "another process was first")
            continue
        ground.watcher.note(f"Trial {trial.number}: {configuration.told()}")
        _do_trial(ground, study, trial)


def _do_trial(ground: Ground, study: Study, trial: Trial) -> None:
    """Take a trial to an end, whatever happens: nobody else would."""
    number = trial.number
    try:
        with study.heard(number):
            study.record(number, "process", this_process())
            try_out(ground, study, trial)
    except TakenOver:
        ground.watcher.note(f"Trial {number} was given up by another process, which had not heard of it.")
    except InputError as error:  # Such as weights that are not here, or a size: the others go on.
        study.give_up(number, "failed", str(error))
        ground.watcher.note(f"Trial {number} cannot be tried: {error}")
    except BaseException:
        study.give_up(number, "lost", "its process was interrupted")
        raise


def lose_dead(ground: Ground, study: Study) -> None:
    """Give up the trials of processes that died in this folder."""
    for one in study.trials():
        if one.state == "running" and is_dead(ground.out, one.worker):
            study.give_up(one.number, "lost", "its process died")
            ground.watcher.note(f"Trial {one.number} was lost with its process, and is tried again.")
