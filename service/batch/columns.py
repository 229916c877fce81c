"""The rows' columns, read off their model: as Arrow's types for Parquet, as dotted names for CSV.

New fields of the API's answer are columns without anybody writing them down here.
"""

import types
from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from service.batch.rows import Row

if TYPE_CHECKING:  # the extra `batch`
    import pyarrow


def arrow_schema() -> "pyarrow.Schema":
    """Every column of the result; all may be null but `source`."""
    import pyarrow  # noqa: PLC0415

    return pyarrow.schema(
        [
            pyarrow.field(name, _arrow_type(field.annotation), nullable=name != "source")
            for name, field in Row.model_fields.items()
        ]
    )


def _arrow_type(annotation: Any) -> "pyarrow.DataType":
    import pyarrow  # noqa: PLC0415

    plain = _plain(annotation)
    if get_origin(plain) in (list, tuple):
        return pyarrow.list_(_arrow_type(get_args(plain)[0]))
    if get_origin(plain) is Literal:
        return pyarrow.string()
    if issubclass(plain, BaseModel):
        return pyarrow.struct([(name, _arrow_type(field.annotation)) for name, field in plain.model_fields.items()])
    if issubclass(plain, str | Enum):
        return pyarrow.string()
    kinds = {bool: pyarrow.bool_(), int: pyarrow.int64(), float: pyarrow.float64()}
    return kinds[plain]


def flat_names(model: type[BaseModel] = Row) -> Iterator[str]:
    """`exit.reason` and the like: values in values by their path; a list is one column."""
    for name, field in model.model_fields.items():
        plain = _plain(field.annotation)
        if isinstance(plain, type) and issubclass(plain, BaseModel):
            yield from (f"{name}.{inner}" for inner in flat_names(plain))
        else:
            yield name


def _plain(annotation: Any) -> Any:
    """Without `| None`."""
    if get_origin(annotation) in (Union, types.UnionType):
        (plain,) = [one for one in get_args(annotation) if one is not type(None)]
        return plain
    return annotation
