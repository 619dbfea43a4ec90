"""scikit-learn's ``error_score`` for fits that end their worker, where an exception could not be caught.

scikit-learn itself makes the scores: the fit is called once more, in the driver, with an estimator that raises the
error.
"""

from collections.abc import Callable, Sequence
from numbers import Number
from typing import Any

from hpcml.data.envelope import name_of
from hpcml.errors import HpcmlError

__all__ = ["fallback"]

FIT_AND_SCORE = "sklearn.model_selection._validation._fit_and_score"


def fallback(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> Callable[[HpcmlError], Any] | None:
    """Return the function that makes a call's result from the error, if the call dies too often or runs too long.

    None unless the call is a fit of scikit-learn whose errors are scored, not raised (``error_score="raise"``).

    Parameters
    ----------
    function, args, kwargs
        The call that joblib was given.
    """
    if not kwargs or name_of(function) != FIT_AND_SCORE:
        return None
    if not isinstance(kwargs.get("error_score", float("nan")), Number):
        return None
    return lambda error: _failed_fit(error, function, args, kwargs)


def _failed_fit(
    error: HpcmlError, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> Any:
    from sklearn.base import BaseEstimator

    class Ended(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
        """Estimator in place of one whose fit has ended its worker."""

        def set_params(self, **_: Any) -> "Ended":
            """Take no parameters."""
            return self

        def fit(self, *_: Any, **__: Any) -> None:
            """Raise the error."""
            raise error

    names = ("estimator", "X", "y")
    given = {**dict(zip(names, args, strict=False)), **kwargs, "callback_ctx": None}
    if "callback_ctx" not in kwargs:  # scikit-learn before 1.9
        del given["callback_ctx"]
    result = function(**{**given, "estimator": Ended()})
    if "estimator" in result:
        result["estimator"] = given["estimator"]
    return result
