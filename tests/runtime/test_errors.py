"""The tree of errors and the exit codes that go with it."""

import inspect
import pickle

import pytest

from edgetl_runtime import errors
from edgetl_runtime.errors import EdgetlError, PictureError


def test_the_tree_and_its_exit_codes_are_those_of_the_docstring():
    tree = {
        name: kind
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if kind.__module__ == errors.__name__
    }
    assert {name: (kind.__base__.__name__, kind.exit_code) for name, kind in tree.items()} == {
        "EdgetlError": ("Exception", 70),
        "InputError": ("EdgetlError", 2),
        "PictureError": ("InputError", 2),
        "DatasetError": ("InputError", 2),
        "BundleError": ("InputError", 2),
        "SignatureError": ("BundleError", 2),
        "ReceiptError": ("InputError", 2),
        "EngineError": ("InputError", 2),
        "ContractError": ("EdgetlError", 1),
        "ProofError": ("ContractError", 1),
    }
    assert all(name in (errors.__doc__ or "") for name in tree)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PictureError("a.jpg", "is empty"), "The picture 'a.jpg' is empty."),
        (PictureError("a.jpg", "is empty", "Remove it."), "The picture 'a.jpg' is empty. Remove it."),
    ],
)
def test_a_picture_error_reads_as_sentences_and_survives_another_process(error, message):
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == message
    assert (again.picture, again.reason, again.remedy) == (error.picture, error.reason, error.remedy)
    assert isinstance(again, EdgetlError)
