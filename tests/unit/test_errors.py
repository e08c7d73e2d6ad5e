"""Every error survives the ways it travels, and its public names are frozen."""

import pickle

import pytest
from celery.backends.base import Backend

from worker import errors
from worker.edge.app import app

ALL = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.KilnhandError)]


def test_an_error_survives_pickling_with_its_fields(subtests: pytest.Subtests) -> None:
    for cls in ALL:
        with subtests.test(error=cls.__name__):
            if issubclass(cls, errors.ExternalServiceError):
                error: errors.KilnhandError = cls("m", provider="fal", status=429, kind="k", retry_after_s=1.5)
            else:
                error = cls("m")
            again = pickle.loads(pickle.dumps(error))
            assert (type(again), again.args, again.__dict__) == (cls, ("m",), error.__dict__)


def test_an_error_comes_back_as_itself_from_celerys_json(subtests: pytest.Subtests) -> None:
    for cls in ALL:
        with subtests.test(error=cls.__name__):
            backend = Backend(app, url="cache+memory://")
            backend.serializer = "json"
            again = backend.exception_to_python(backend.prepare_exception(cls("what to do")))
            assert type(again) is cls
            assert str(again) == "what to do"


def test_an_errors_docstring_is_its_default_message(subtests: pytest.Subtests) -> None:
    for cls in ALL:
        with subtests.test(error=cls.__name__):
            assert cls().message == (cls.__doc__ or "").splitlines()[0]


def test_codes_are_unique_and_found_again() -> None:
    codes = [cls.code for cls in ALL]
    assert len(set(codes)) == len(codes)
    assert [errors.error_class(code) for code in codes] == ALL
    assert errors.error_class("from the future") is errors.KilnhandError


def test_the_briefs_names_are_the_tree_it_describes() -> None:
    assert issubclass(errors.RateLimitError, errors.ExternalServiceError)
    assert issubclass(errors.AuthenticationError, errors.ExternalServiceError)
