"""Small expressions over a judgement, such as `1 if grade >= 2 else 0`: Python syntax, an allow-listed tree, no eval.

Names: grade (a number), qid and docid (strings).
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from irctl.errors import ConfigError
from irctl.tables import shown

NAMES = ("grade", "qid", "docid")
Values = dict[str, Any]
Compiled = Callable[[Values], Any]

BINARY: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
UNARY: dict[type[ast.AST], Callable[[Any], Any]] = {ast.Not: operator.not_, ast.USub: operator.neg}
COMPARE: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
CALLS: dict[str, Callable[..., Any]] = {"min": min, "max": max, "abs": abs, "round": round, "int": int, "float": float}
METHODS = ("startswith", "endswith")
EXAMPLE = "Example: 1 if grade >= 2 else 0"


def compile_expression(text: str, where: str) -> Callable[[float, str, str], Any]:
    """A function of (grade, qid, docid). Raises ConfigError for syntax or a construct that is not allowed."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
        inner = _node(tree.body, text, where)
    except SyntaxError as e:
        raise ConfigError(f"{where}: not an expression: {shown(text)} ({e.msg})", hint=EXAMPLE) from None
    except (RecursionError, MemoryError):
        raise ConfigError(f"{where}: nested too deeply: {shown(text)}", hint=EXAMPLE) from None

    def run(grade: float, qid: str, docid: str) -> Any:
        try:
            return inner({"grade": grade, "qid": qid, "docid": docid})
        except (TypeError, ZeroDivisionError, ValueError, OverflowError, RecursionError, MemoryError) as e:
            judgement = f"grade {grade:g}, qid {qid}, docid {docid}"
            raise ConfigError(f"{where}: {shown(text)} fails for {judgement} ({e})") from None

    return run


def _node(node: ast.expr, text: str, where: str) -> Compiled:
    def build(child: ast.expr) -> Compiled:
        return _node(child, text, where)

    match node:
        case ast.Constant(value=bool() | int() | float() | str() as value):
            return lambda v: value
        case ast.Name(id=name) if name in NAMES:
            return lambda v: v[name]
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            parts = [build(e) for e in elements]
            return lambda v: tuple(p(v) for p in parts)
        case ast.BinOp(left=a, op=op, right=b) if type(op) in BINARY:
            do, left, right = BINARY[type(op)], build(a), build(b)
            return lambda v: do(left(v), right(v))
        case ast.UnaryOp(op=op, operand=a) if type(op) in UNARY:
            change, value_of = UNARY[type(op)], build(a)
            return lambda v: change(value_of(v))
        case ast.BoolOp(op=op, values=values):
            parts = [build(e) for e in values]
            join = all if isinstance(op, ast.And) else any
            return lambda v: join(p(v) for p in parts)
        case ast.IfExp(test=t, body=a, orelse=b):
            test, yes, no = build(t), build(a), build(b)
            return lambda v: yes(v) if test(v) else no(v)
        case ast.Compare(left=a, ops=ops, comparators=others) if all(type(o) in COMPARE for o in ops):
            sides = [build(a), *map(build, others)]
            tests = [COMPARE[type(o)] for o in ops]
            return lambda v: all(t(sides[i](v), sides[i + 1](v)) for i, t in enumerate(tests))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in CALLS:
            call, parts = CALLS[name], [build(e) for e in args]
            return lambda v: call(*(p(v) for p in parts))
        case ast.Call(func=ast.Attribute(value=a, attr=name), args=[arg], keywords=[]) if name in METHODS:
            subject, part = build(a), build(arg)
            return lambda v: getattr(str(subject(v)), name)(part(v))
    source = ast.get_source_segment(text.strip(), node) or type(node).__name__
    raise ConfigError(
        f"{where}: {shown(source)} is not allowed in an expression",
        hint=f"Allowed: {', '.join(NAMES)}, numbers, text, comparisons, and, or, not, if-else, arithmetic, min, max",
    )
