"""`--where "params.'pq.m'=48 and metrics.'RR@10'>0.33"` as SQL with bound values: nothing typed reaches SQL as text.

condition  = term { "or" term };  term = factor { "and" factor };  factor = [ "not" ] ( "(" condition ")" | comparison )
comparison = field ( "=" | "!=" | "<" | "<=" | ">" | ">=" | "like" ) value | field [ "not" ] "in" "(" value, ... ")"
           | field "is" [ "not" ] "null"
field      = a column of runs | params.KEY | metrics.NAME | tag
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from irctl import plugins
from irctl.errors import ConfigError
from irctl.ledger.files.run_columns import RUN_COLUMNS

EXAMPLE = "For example: params.'pq.m'=48 and metrics.'RR@10'>0.33 and status='completed'"
Value = str | float | int | bool

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<field>(?:params|metrics)\.(?:'[^']*'|"[^"]*"|[\w.@-]+))
  | (?P<string>'(?:[^']|'')*'|"[^"]*")
  | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)
  | (?P<operator><=|>=|!=|<>|==|=|<|>)
  | (?P<mark>[(),])
  | (?P<word>[A-Za-z_]\w*)
    )""",
    re.VERBOSE,
)
_OPERATORS = {"=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


@dataclass
class Condition:
    """SQL text over `runs`, and the values for its question marks."""

    sql: str
    values: list[Value] = field(default_factory=list)


def translate(text: str) -> Condition:
    """The condition in `text`. Raises ConfigError with the place where it stops making sense."""
    return _Parser(text).parse()


def order_by(sort: str) -> Condition:
    """ORDER BY for `-RR@10` (descending), `created_at`, `pq.m`: a column, else a metric or setting; empty ones last."""
    descending, name = sort.startswith("-"), sort.lstrip("+-")
    direction = "DESC" if descending else "ASC"
    if name in RUN_COLUMNS:
        return Condition(f"runs.{name} IS NULL, runs.{name} {direction}, runs.id {direction}")
    value = (
        "coalesce((SELECT max(value) FROM measures m WHERE m.run_id = runs.id AND m.name = ?),"
        " (SELECT coalesce(value_num, value_text) FROM params p WHERE p.run_id = runs.id AND p.key = ?))"
    )
    return Condition(f"{value} IS NULL, {value} {direction}, runs.id {direction}", [name] * 4)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str, int]] = []
        at = 0
        end = len(text.rstrip())
        while at < end:
            token = _TOKEN.match(text, at)
            if not token or token.lastgroup is None:
                raise self._error(at, f"unexpected {text[at:].split()[0]!r}")
            self.tokens.append((token.lastgroup, token.group(token.lastgroup), token.start(token.lastgroup)))
            at = token.end()
        self.next = 0

    def parse(self) -> Condition:
        condition = self._either()
        if self.next < len(self.tokens):
            raise self._error(self._place(), f"unexpected {self.tokens[self.next][1]!r}")
        return condition

    def _either(self) -> Condition:
        left = self._both()
        while self._take_word("or"):
            right = self._both()
            left = Condition(f"({left.sql} OR {right.sql})", left.values + right.values)
        return left

    def _both(self) -> Condition:
        left = self._factor()
        while self._take_word("and"):
            right = self._factor()
            left = Condition(f"({left.sql} AND {right.sql})", left.values + right.values)
        return left

    def _factor(self) -> Condition:
        if self._take_word("not"):
            inner = self._factor()
            return Condition(f"NOT coalesce({inner.sql}, 0)", inner.values)
        if self._take("mark", "("):
            inner = self._either()
            if not self._take("mark", ")"):
                raise self._error(self._place(), "expected )")
            return inner
        return self._comparison()

    def _comparison(self) -> Condition:
        kind, name = self._field()
        if self._take_word("is"):
            absent = not self._take_word("not")
            if not self._take_word("null"):
                raise self._error(self._place(), "expected null")
            present = _compare(kind, name, "IS NOT NULL", [])
            return Condition(f"NOT {present.sql}", present.values) if absent else present
        negated = self._take_word("not")
        if self._take_word("in"):
            values = self._list()
            return _compare(kind, name, f"{'NOT ' if negated else ''}IN ({', '.join('?' * len(values))})", values)
        if self._take_word("like"):
            return _compare(kind, name, f"{'NOT ' if negated else ''}LIKE ?", [str(self._value())])
        if negated or self._place() == len(self.text) or self.tokens[self.next][0] != "operator":
            raise self._error(self._place(), f"expected a comparison after {name}")
        operator = _OPERATORS[self.tokens[self.next][1]]
        self.next += 1
        return _compare(kind, name, f"{operator} ?", [self._value()])

    def _field(self) -> tuple[str, str]:
        if self.next >= len(self.tokens):
            raise self._error(len(self.text), "expected a field")
        group, word, at = self.tokens[self.next]
        self.next += 1
        if group == "field":
            kind, _, name = word.partition(".")
            return kind, name.strip("'\"")
        if group == "word" and word == "tag":
            return "tag", word
        if group == "word" and word in RUN_COLUMNS:
            return "column", word
        columns = f"{EXAMPLE}. Columns: {', '.join(RUN_COLUMNS)}"
        hint = plugins.nearest(word, [*RUN_COLUMNS, "tag"], columns) if group == "word" else EXAMPLE
        raise self._error(at, f"no field named {word!r}", hint)

    def _list(self) -> list[Value]:
        if not self._take("mark", "("):
            raise self._error(self._place(), "expected ( after in")
        values = [self._value()]
        while self._take("mark", ","):
            values.append(self._value())
        if not self._take("mark", ")"):
            raise self._error(self._place(), "expected )")
        return values

    def _value(self) -> Value:
        if self.next >= len(self.tokens):
            raise self._error(len(self.text), "expected a value")
        group, word, at = self.tokens[self.next]
        self.next += 1
        if group == "number":
            number = float(word)
            return int(number) if number.is_integer() and "." not in word else number
        if group == "string":
            return word[1:-1].replace("''", "'")
        if group == "word" and word.lower() in ("true", "false"):
            return word.lower() == "true"
        raise self._error(at, f"expected a number, true, false or 'text', found {word!r}")

    def _take(self, group: str, word: str) -> bool:
        here = self.next < len(self.tokens) and self.tokens[self.next][0] == group
        if here and self.tokens[self.next][1].lower() == word:
            self.next += 1
            return True
        return False

    def _take_word(self, word: str) -> bool:
        return self._take("word", word)

    def _place(self) -> int:
        return self.tokens[self.next][2] if self.next < len(self.tokens) else len(self.text)

    def _error(self, at: int, message: str, hint: str = EXAMPLE) -> ConfigError:
        return ConfigError(f"--where, character {at + 1}: {message}", hint=hint)


def _compare(kind: str, name: str, operation: str, values: list[Value]) -> Condition:
    """One comparison. A metric means the last value of its series; any data set and split will do."""
    if kind == "column":
        return Condition(f"(runs.{name} {operation})", [int(v) if isinstance(v, bool) else v for v in values])
    if kind == "tag":
        return Condition(f"EXISTS (SELECT 1 FROM tags t WHERE t.run_id = runs.id AND t.tag {operation})", values)
    if kind == "metrics":
        return Condition(
            f"EXISTS (SELECT 1 FROM measures m WHERE m.run_id = runs.id AND m.name = ? AND m.value {operation})",
            [name, *values],
        )
    numeric = bool(values) and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    stored = [str(v).lower() if isinstance(v, bool) else v if numeric else str(v) for v in values]
    column = "value_num" if numeric else "value_text"
    return Condition(
        f"EXISTS (SELECT 1 FROM params p WHERE p.run_id = runs.id AND p.key = ? AND p.{column} {operation})",
        [name, *stored],
    )
