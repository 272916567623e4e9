"""`predict`: pictures in, labels out."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from edgetl_runtime.cli.arguments import add_session, where
from edgetl_runtime.cli.guard import Outcome
from edgetl_runtime.cli.printing import note, say, to_json
from edgetl_runtime.commands import Answers, run_predict
from edgetl_runtime.errors import InputError

SUMMARY = "Predict pictures with a bundle."


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_session(parser)
    parser.add_argument("pictures", metavar="PICTURE", type=Path, nargs="+", help="picture file")


def run(given: Namespace) -> Outcome:
    """Predict; a picture that cannot be used is told and does not stop the others."""
    from edgetl_runtime.presentation import render_answers

    found = run_predict(given.bundle, given.pictures, where=where(given), notify=note)
    errors = [answer.error for answer in found.answers if answer.prediction is None]
    for error in errors:
        say(f"error: {error}")
    text = to_json(_as_json(found)) if given.json else render_answers(found.answers)
    return Outcome(text, InputError.exit_code if errors else 0)


def _as_json(found: Answers) -> dict[str, object]:
    return {
        "variant": found.variant,
        "device": found.device,
        "classes": found.classes,
        "answers": [
            {"picture": str(answer.picture), "error": answer.error}
            if answer.prediction is None
            else {
                "picture": str(answer.picture),
                "label": answer.prediction.label,
                "labels": answer.prediction.labels,
                "confidence": answer.prediction.confidence,
                "probabilities": answer.prediction.probabilities.tolist(),
            }
            for answer in found.answers
        ],
    }
