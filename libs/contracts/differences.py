"""What differs between two JSON Schemas of one message, place by place in the data; without a judgement.

The comparison covers the part of JSON Schema that pydantic emits: references, objects, arrays, unions, enumerations,
bounds, patterns and formats. A keyword outside of it is compared as it stands, and a difference in it is UNJUDGED.

The PyPI package jsoncompat 0.3.1 was tried first and is not used, for three reasons: its answer is a yes or no without
a place; it takes a new optional field for incompatible, since an older sender might have put anything under that name;
and it passes over `pattern` and `format`, so that a narrower one counts as compatible.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from libs.contracts.forms import ANYTHING, SAY_NOTHING, Schema, counterparts, forms, types_of, without_null


class What(Enum):
    """One kind of difference. `narrows` says whether data that was valid under the old schema no longer is."""

    def __init__(self, text: str, narrows: bool) -> None:
        self.text = text
        self.narrows = narrows

    FIELD_ADDED = "field added, optional", False
    REQUIRED_FIELD_ADDED = "field added, required", True
    FIELD_GONE = "field gone", False
    BECAME_OPTIONAL = "became optional", False
    BECAME_REQUIRED = "became required", True
    DEFAULT_CHANGED = "default changed", False
    NULL_FOR_ABSENT = "widened, null stands for absent", False
    NULL_FOR_VALUE = "widened, null in place of a value", False
    NULL_REFUSED = "narrowed, null refused", True
    TYPE_ADDED = "type added", False
    TYPE_GONE = "type gone", True
    FORM_ADDED = "form added", False
    VALUES_ADDED = "values added", False
    VALUES_GONE = "values gone", True
    FORMAT_GONE = "format gone", False
    WIDER = "widened", False
    NARROWER = "narrowed", True
    UNJUDGED = "changed, unjudged", True


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference and its place: `lines[].quantity`, `properties.*`; the empty path is the data as a whole."""

    path: str
    what: What
    detail: str = ""


_BOUNDS: tuple[tuple[int, float, tuple[str, ...]], ...] = (
    (1, -math.inf, ("minimum", "exclusiveMinimum")),
    (-1, -math.inf, ("maximum", "exclusiveMaximum")),
    (1, 0, ("minLength",)),
    (-1, -math.inf, ("maxLength",)),
    (1, 0, ("minItems",)),
    (-1, -math.inf, ("maxItems",)),
    (1, 0, ("minProperties",)),
    (-1, -math.inf, ("maxProperties",)),
)
"""For each pair of bounds: the sign that makes a larger number the stricter one, the strictness of none, the names."""

_COMPARED = frozenset(
    {"type", "enum", "const", "pattern", "format", "uniqueItems", "items", "prefixItems"}
    | {"properties", "required", "additionalProperties", "patternProperties"}
).union(*(names for _, _, names in _BOUNDS))


def differences(old: Schema, new: Schema) -> list[Difference]:
    """Every difference between two schemas, in the order of the fields."""
    return list(_Comparison(old, new).values(old, new, "", may_be_absent=False))


class _Comparison:
    """Two documents; their references are resolved each in its own."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old = old
        self._new = new
        self._under_way: list[tuple[Any, Any]] = []

    def values(self, old: Any, new: Any, path: str, *, may_be_absent: bool) -> Iterator[Difference]:
        """Compare what may stand at one place; a pair that contains itself is compared once."""
        if (old, new) in self._under_way:
            return
        self._under_way.append((old, new))
        befores, afters = forms(self._old, old), forms(self._new, new)
        yield from _null(befores, afters, path, may_be_absent)
        yield from self._types(without_null(befores), without_null(afters), path)
        self._under_way.pop()

    def _types(self, befores: Sequence[Schema], afters: Sequence[Schema], path: str) -> Iterator[Difference]:
        was, now = types_of(befores), types_of(afters)
        gone = [type_ for type_ in was if not counterparts(type_, afters)]
        if gone:
            yield Difference(path, What.TYPE_GONE, f"{_listed(was)} → {_listed(now)}")
        elif added := [type_ for type_ in now if not (type_ in was or (type_ == "integer" and "number" in was))]:
            yield Difference(path, What.TYPE_ADDED, f"{_listed(was)} → {_listed(was + added)}")
        taken: list[Schema] = []
        for before in befores:
            if candidates := counterparts(before["type"], afters):
                after, found = self._nearest(before, candidates, path)
                taken.append(after)
                yield from found
        for after in afters:
            if after["type"] in was and after not in taken:
                yield Difference(path, What.FORM_ADDED, str(after.get("title", after["type"])))

    def _nearest(self, before: Schema, afters: Sequence[Schema], path: str) -> tuple[Schema, list[Difference]]:
        """The form that takes over what `before` allowed: the one that narrows it least, then that differs least."""
        found = [(after, list(self._form(before, after, path))) for after in afters]
        return min(found, key=lambda each: (sum(d.what.narrows for d in each[1]), len(each[1])))

    def _form(self, old: Schema, new: Schema, path: str) -> Iterator[Difference]:
        """Compare two schemas of one type, unions and references taken out."""
        if new["type"] == ANYTHING and old["type"] != ANYTHING:
            return
        yield from _limits(old, new, path)
        yield from _choices(old, new, path)
        if old["type"] == "array":
            yield from self._items(old, new, path)
        if old["type"] == "object":
            yield from self._fields(old, new, path)
            yield from self._names(old, new, f"{path}.*" if path else "*")
        for keyword in sorted((old.keys() | new.keys()) - _COMPARED - SAY_NOTHING):
            if old.get(keyword) != new.get(keyword):
                yield Difference(path, What.UNJUDGED, f"{keyword}: {old.get(keyword)} → {new.get(keyword)}")

    def _items(self, old: Schema, new: Schema, path: str) -> Iterator[Difference]:
        first_old, first_new = old.get("prefixItems", []), new.get("prefixItems", [])
        rest_old, rest_new = old.get("items", True), new.get("items", True)
        length = max(len(first_old), len(first_new))
        for place in range(length):
            before = first_old[place] if place < len(first_old) else rest_old
            after = first_new[place] if place < len(first_new) else rest_new
            yield from self.values(before, after, f"{path}[{place}]", may_be_absent=False)
        if old.get("maxItems", math.inf) > length:
            yield from self.values(rest_old, rest_new, f"{path}[]", may_be_absent=False)

    def _fields(self, old: Schema, new: Schema, path: str) -> Iterator[Difference]:
        fields_old, fields_new = old.get("properties", {}), new.get("properties", {})
        needed_old, needed_new = old.get("required", ()), new.get("required", ())
        for name in fields_old | fields_new:
            place = f"{path}.{name}" if path else name
            if name not in fields_old:
                yield Difference(place, What.REQUIRED_FIELD_ADDED if name in needed_new else What.FIELD_ADDED)
            elif name not in fields_new:
                yield Difference(place, What.FIELD_GONE)
                if (rest := new.get("additionalProperties", True)) is not True:
                    yield from self.values(fields_old[name], rest, place, may_be_absent=True)
            else:
                yield from _need(name in needed_old, name in needed_new, place)
                before, after = fields_old[name], fields_new[name]
                yield from self.values(before, after, place, may_be_absent=name not in needed_new)
                if name not in needed_old and name not in needed_new:
                    yield from _default(before, after, place)

    def _names(self, old: Schema, new: Schema, place: str) -> Iterator[Difference]:
        """Compare what may stand under names that are not listed as fields."""
        by_old, by_new = old.get("patternProperties", {}), new.get("patternProperties", {})
        pairs = list(zip(by_old.values(), by_new.values(), strict=False))
        if by_old.keys() == by_new.keys():
            pairs = [(by_old[pattern], by_new[pattern]) for pattern in by_old]
        else:
            detail = f"names {_listed(by_old or ['any'])} → {_listed(by_new or ['any'])}"
            yield Difference(place, What.NARROWER if by_new else What.WIDER, detail)
        for before, after in pairs:
            yield from self.values(before, after, place, may_be_absent=False)
        rest_old, rest_new = old.get("additionalProperties", True), new.get("additionalProperties", True)
        if rest_new is False and rest_old is not False:
            yield Difference(place, What.NARROWER, "other fields are refused")
        elif rest_old is False and rest_new is not False:
            yield Difference(place, What.WIDER, "other fields are accepted")
        else:
            yield from self.values(rest_old, rest_new, place, may_be_absent=False)


def _need(was: bool, now: bool, path: str) -> Iterator[Difference]:
    if was != now:
        yield Difference(path, What.BECAME_REQUIRED if now else What.BECAME_OPTIONAL)


def _default(old: Any, new: Any, path: str) -> Iterator[Difference]:
    """Null as a default is the same as none."""
    was, now = (schema.get("default") if isinstance(schema, Mapping) else None for schema in (old, new))
    if was != now:
        yield Difference(path, What.DEFAULT_CHANGED, f"{was} → {now}")


def _null(befores: Sequence[Schema], afters: Sequence[Schema], path: str, may_be_absent: bool) -> Iterator[Difference]:
    was, now = types_of(befores), types_of(afters)
    if "null" in now and not {"null", ANYTHING} & {*was}:
        yield Difference(path, What.NULL_FOR_ABSENT if may_be_absent else What.NULL_FOR_VALUE)
    if "null" in was and not {"null", ANYTHING} & {*now}:
        yield Difference(path, What.NULL_REFUSED)


def _limits(old: Schema, new: Schema, path: str) -> Iterator[Difference]:
    for sign, none, names in _BOUNDS:

        def strictness(schema: Schema, sign: int = sign, none: float = none, names: tuple[str, ...] = names) -> Any:
            given = ((sign * schema[name], name.startswith("exclusive")) for name in names if name in schema)
            return max(given, default=(none, False))

        was, now = strictness(old), strictness(new)
        if was != now:
            detail = f"{_stated(old, names)} → {_stated(new, names)}"
            yield Difference(path, What.NARROWER if now > was else What.WIDER, detail)
    was, now = old.get("pattern"), new.get("pattern")
    if was != now:
        # Whether one pattern allows all that another does is not decided here: any other pattern counts as narrower.
        detail = f"{_stated(old, ('pattern',))} → {_stated(new, ('pattern',))}"
        yield Difference(path, What.WIDER if now is None else What.NARROWER, detail)
    was, now = old.get("format"), new.get("format")
    if was != now:
        detail = f"{_stated(old, ('format',))} → {_stated(new, ('format',))}"
        yield Difference(path, What.FORMAT_GONE if now is None else What.NARROWER, detail)
    was, now = old.get("uniqueItems", False), new.get("uniqueItems", False)
    if was != now:
        yield Difference(
            path, What.NARROWER if now else What.WIDER, "an item may stand twice" if was else "no item twice"
        )


def _choices(old: Schema, new: Schema, path: str) -> Iterator[Difference]:
    was, now = old.get("enum"), new.get("enum")
    if now is not None and (was is None or (gone := [value for value in was if value not in now])):
        yield Difference(path, What.VALUES_GONE, _listed(gone) if was is not None else f"any → {_listed(now)}")
    if was is not None and (now is None or (added := [value for value in now if value not in was])):
        yield Difference(path, What.VALUES_ADDED, _listed(added) if now is not None else f"{_listed(was)} → any")


def _stated(schema: Schema, names: Sequence[str]) -> str:
    return ", ".join(f"{name} {schema[name]}" for name in names if name in schema) or f"no {names[0]}"


def _listed(values: Any) -> str:
    return " | ".join(str(value) for value in values) or "nothing"
