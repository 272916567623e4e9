"""The study in a database, through Optuna: which trials there are, what is tried next, who does it.

The one file that imports Optuna and SQLAlchemy. A trial is written with its parameters in one transaction, so
that processes which share the database agree on who tries what; see docs/decisions/0013.
"""

import random
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from edgetl.search.asked import Asked, study_name
from edgetl.search.front import Point
from edgetl.search.space import Configuration, Space
from edgetl.search.trials import State, TakenOver, Trial, open_configurations
from edgetl_runtime.errors import InputError

DATABASE = "study.db"
# Of accuracy, ms and MB.
_DIRECTIONS = (StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE, StudyDirection.MINIMIZE)
# A process that has not been heard of for so long has died.
_BEAT_S, _GRACE_S = 30, 180
_SQLITE_WAIT_S = 60
_OPENINGS, _PAUSE_S = 5, 0.5
# So often the sampler may name what is taken before one of the rest is drawn.
_DRAWS = 30
# The facts of a trial that say which state it is in, where Optuna has no word for it.
_WHY = "why"
_STATES = {TrialState.RUNNING: "running", TrialState.COMPLETE: "complete"}


class Study:
    """The trials of one search. Processes may share it."""

    def __init__(self, url: str, name: str, space: Space, seed: int, grace_s: int = _GRACE_S) -> None:
        """Open the study, or make it.

        Raises:
            InputError: the database cannot be had.
        """
        self.name = name
        self._space, self._seed = space, seed
        self._beat_s = min(_BEAT_S, max(1, grace_s // 3))
        self._storage, self._study = _open(url, name, (self._beat_s, grace_s))
        self._id = self._storage.get_study_id_from_name(name)

    def trials(self) -> list[Trial]:
        """Return all trials as they stand, by their numbers."""
        found = self._storage.get_all_trials(self._id, deepcopy=False)
        return [_trial(one) for one in sorted(found, key=lambda one: one.number)]

    def propose(self, trials: Sequence[Trial]) -> Configuration | None:
        """Return what to try next, None when all is taken.

        What was lost comes first, since it is half done; then each backbone once; then the sampler names it.
        """
        left = open_configurations(self._space, trials)
        lost = {one.configuration for one in trials if one.state == "lost"}
        begun = {one.configuration.backbone for one in trials if one.state != "surplus"}
        first = [one for one in left if one in lost] or [one for one in left if one.backbone not in begun]
        if first or not left:
            return first[0] if first else None
        return self._sampled(trials, left)

    def begin(self, configuration: Configuration, worker: str) -> Trial:
        """Write a trial of this configuration, with its number."""
        template = create_trial(
            state=TrialState.RUNNING,
            params=configuration.params(),
            distributions=_distributions(self._space),
            user_attrs={"worker": worker},
        )
        key = self._storage.create_new_trial(self._id, template)
        self._storage.record_heartbeat(key)
        return _trial(self._storage.get_trial(key))

    def record(self, number: int, name: str, value: object) -> None:
        """Write a fact of a trial that runs.

        Raises:
            TakenOver: another process has given it up meanwhile.
        """
        try:
            self._storage.set_trial_user_attr(self._key(number), name, value)
        except UpdateFinishedTrialError as error:
            raise TakenOver(number) from error

    def complete(self, number: int, point: Point) -> None:
        """End a trial with what it found.

        Raises:
            TakenOver: another process has given it up meanwhile.
        """
        try:
            self._storage.set_trial_state_values(self._key(number), TrialState.COMPLETE, point.values())
        except UpdateFinishedTrialError as error:
            raise TakenOver(number) from error

    def give_up(self, number: int, state: State, reason: str) -> None:
        """End a trial without a model; one that another process has given up meanwhile stays as it is."""
        key = self._key(number)
        try:
            self._storage.set_trial_user_attr(key, _WHY, {"state": state, "reason": reason})
            self._storage.set_trial_state_values(key, TrialState.FAIL)
        except UpdateFinishedTrialError:
            return

    def lose_silent(self) -> None:
        """Give up the trials of processes that have not been heard of for long."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            fail_stale_trials(self._study)

    @contextmanager
    def heard(self, number: int) -> Iterator[None]:
        """Let a trial be heard of, so that other processes leave it alone."""
        key, done = self._key(number), threading.Event()

        def beat() -> None:
            while not done.wait(self._beat_s):
                self._storage.record_heartbeat(key)
                self._storage.remove_session()

        thread = threading.Thread(target=beat, name="edgetl-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def close(self) -> None:
        """Let go of the database."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _key(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)

    def _sampled(self, trials: Sequence[Trial], left: Sequence[Configuration]) -> Configuration:
        """Let Optuna's sampler see what is complete and name the next; it knows nothing of who is at work."""
        seed = self._seed + len(trials)
        sampler = optuna.samplers.TPESampler(seed=seed)
        study = optuna.create_study(directions=_DIRECTIONS, sampler=sampler)
        distributions = _distributions(self._space)
        study.add_trials([_finished(one, distributions) for one in trials if one.point is not None])
        allowed = set(left)
        for _ in range(_DRAWS):
            named = Configuration.of(study.ask(distributions).params)
            if named in allowed:
                return named
        return random.Random(seed).choice(left)


def open_study(asked: Asked, identity: Mapping[str, Any], out: Path) -> Study:
    """Open the study that was asked for, or make it: in its database, or else in a file in its folder.

    Raises:
        InputError: the database cannot be had.
    """
    url = asked.storage or f"sqlite:///{(out / DATABASE).absolute()}"
    return Study(url, study_name(identity), asked.space, asked.seed)


def _open(url: str, name: str, beats: tuple[int, int]) -> tuple[RDBStorage, optuna.Study]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        shown = make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError as error:
        raise InputError(
            "--storage must be the URL of a database, such as postgresql+pg8000://user:password@machine/name "
            f"or sqlite:///study.db, got one that cannot be read ({error})."
        ) from error
    for attempt in range(_OPENINGS):
        try:
            return _connected(url, name, beats)
        except ImportError as error:
            raise InputError(
                f"The database {shown!r} needs a driver that is not installed ({error.__cause__ or error}). "
                "Install it with pip; edgetl[postgresql] brings that of postgresql+pg8000://…"
            ) from error
        except (SQLAlchemyError, StorageInternalError, RuntimeError) as error:
            # Processes that begin at once make the same tables: all but one fail, and find them made.
            if attempt + 1 == _OPENINGS:
                reason = str(error.__cause__ or error).splitlines()[0]
                raise InputError(
                    f"The database {shown!r} cannot be used: {reason}. Check --storage, and that the "
                    "database is there and may be written."
                ) from error
            time.sleep(_PAUSE_S * random.random())
    raise AssertionError("the last opening returns or raises")


def _connected(url: str, name: str, beats: tuple[int, int]) -> tuple[RDBStorage, optuna.Study]:
    beat_s, grace_s = beats
    options = {"connect_args": {"timeout": _SQLITE_WAIT_S}} if url.startswith("sqlite") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        storage = RDBStorage(url, options, heartbeat_interval=beat_s, grace_period=grace_s)
    study = optuna.create_study(storage=storage, study_name=name, directions=_DIRECTIONS, load_if_exists=True)
    return storage, study


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    return {name: CategoricalDistribution(values) for name, values in space.choices().items()}


def _finished(trial: Trial, distributions: dict[str, BaseDistribution]) -> FrozenTrial:
    assert trial.point is not None
    params = trial.configuration.params()
    return create_trial(values=trial.point.values(), params=params, distributions=distributions)


def _trial(found: FrozenTrial) -> Trial:
    facts: dict[str, Any] = dict(found.user_attrs)
    worker, why = str(facts.pop("worker")), facts.pop(_WHY, {})
    state: Any = _STATES.get(found.state) or why.get("state", "lost")
    point = Point(*found.values) if state == "complete" else None
    if why:
        facts["reason"] = why["reason"]
    return Trial(found.number, Configuration.of(found.params), state, point, facts, worker)
