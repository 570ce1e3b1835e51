"""Answers that have to be calls: what the grammar takes is what the model's format reads."""

import json

import llguidance
import pytest

from lepton_worker.errors import InvalidRequest, Violation
from lepton_worker.request import Constraint
from lepton_worker.tasks.chat import Chat, Message, Tool, violations
from lepton_worker.tasks.tool_choice import ToolChoice, ToolMode
from lepton_worker.tasks.tool_grammar import argument_constraints, calls_constraint
from lepton_worker.tasks.tools import FORMATS, CallReader, Format, Style
from lepton_worker.tasks.tools_xml import typed

ZONE = {"type": "object", "properties": {"zone": {"enum": ["utc", "cet"]}}, "required": ["zone"]}
TOOLS = (Tool("clock", parameters={**ZONE, "additionalProperties": False}), Tool("bell"))
REQUIRED, ONE = ToolChoice(ToolMode.REQUIRED), ToolChoice(ToolMode.REQUIRED, parallel=False)
NAMED = ToolChoice(ToolMode.REQUIRED, "clock")
BETWEEN = {Style.XML: "\n", Style.TAGS: "\n", Style.LIST: ", ", Style.NAMED: "", Style.BARE: "; "}
LEXER = llguidance.LLTokenizer("byte")
by_style = pytest.mark.parametrize("how", FORMATS, ids=lambda how: how.style.value)


def takes(constraint: Constraint, text: str) -> bool:
    """Whether the text is a whole sentence of the grammar."""
    (lark,) = constraint.texts
    matcher = llguidance.LLMatcher(LEXER, llguidance.LLMatcher.grammar_from_lark(lark))
    assert not matcher.is_error(), matcher.get_error()
    data = list(text.encode())
    return matcher.try_consume_tokens(data) == len(data) and matcher.is_accepting()


def call(how: Format, name: str = "clock", zone: str | None = "utc") -> str:
    """A call in one of the ways; without arguments where there is no zone."""
    arguments = json.dumps({} if zone is None else {"zone": zone})
    value = "" if zone is None else f"<parameter=zone>\n{zone}\n</parameter>\n"
    quoted = json.dumps(name, ensure_ascii=False)
    made = {
        Style.XML: f"<tool_call>\n<function={name}>\n{value}</function>\n</tool_call>",
        Style.TAGS: f'<tool_call>\n{{"name": {quoted}, "arguments": {arguments}}}\n</tool_call>',
        Style.LIST: f'{{"name": {quoted}, "arguments": {arguments}}}',
        Style.NAMED: f"[TOOL_CALLS]{name}[ARGS]{arguments}",
        Style.BARE: f'{{"name": {quoted}, "parameters": {arguments}}}',
    }
    return made[how.style]


def constraint(how: Format, choice: ToolChoice, tools: tuple[Tool, ...] = TOOLS) -> Constraint:
    return calls_constraint(how, tools, choice, {}, {})


def written(how: Format, *calls: str) -> str:
    text = BETWEEN[how.style].join(calls)
    return f"[TOOL_CALLS] [{text}]" if how.style is Style.LIST else text


@by_style
def test_calls_are_taken_and_read_again(how: Format) -> None:
    clock, bell = call(how), call(how, "bell", None)
    for calls in ((clock,), (bell,), (clock, bell, clock)):
        text = written(how, *calls)
        assert takes(constraint(how, REQUIRED), text)
        reader = CallReader(how, ["clock", "bell"])
        assert reader.feed(text) == ""
        found = reader.end()
        assert found.text == ""
        names = ["clock" if sent is clock else "bell" for sent in calls]
        assert [read.name for read in found.calls] == names


@by_style
def test_nothing_else_is_taken(how: Format) -> None:
    clock = call(how)
    lark = constraint(how, REQUIRED)
    for text in ("", "Hello", f"So: {written(how, clock)}"):
        assert not takes(lark, text)
    for other in (
        call(how, "horn"),
        call(how, zone="est"),
        call(how, zone=None),
        call(how, "bell"),
    ):
        assert not takes(lark, written(how, other))


@by_style
def test_one_call_where_one_is_asked_for(how: Format) -> None:
    clock, bell = call(how), call(how, "bell", None)
    for choice in (ONE, NAMED):
        assert takes(constraint(how, choice), written(how, clock))
        assert not takes(constraint(how, choice), written(how, clock, clock))
    assert takes(constraint(how, ONE), written(how, bell))
    assert not takes(constraint(how, NAMED), written(how, bell))


def test_marks_that_are_special_tokens_are_tokens_in_the_grammar() -> None:
    named = next(how for how in FORMATS if how.style is Style.NAMED)
    (lark,) = calls_constraint(named, TOOLS, NAMED, {7: "[TOOL_CALLS]", 9: "[ARGS]"}, {}).texts
    assert lark.splitlines()[1].startswith("call: <[7]> (tool0)")
    assert lark.splitlines()[2].startswith('tool0: "clock" <[9]> %json {')


def test_names_are_quoted_or_refused() -> None:
    odd = (Tool('a "b"\n%json é'),)
    for how in FORMATS:
        if how.style in (Style.NAMED, Style.XML):
            with pytest.raises(InvalidRequest) as caught:
                constraint(how, REQUIRED, odd)
            assert [item.field for item in caught.value.violations] == ["tools[0].name"]
        else:
            made = written(how, call(how, odd[0].name, None))
            assert takes(constraint(how, REQUIRED, odd), made)


def test_xml_has_texts_as_they_are_and_other_values_as_json() -> None:
    xml = next(how for how in FORMATS if how.style is Style.XML)
    schema = {
        "type": "object",
        "properties": {
            "note": {"type": "string"},
            "size": {"$ref": "#/$defs/Size"},
            "kind": {"const": 5},
            "word": {"$ref": "#/$defs/Word"},
        },
        "required": ["note"],
        "$defs": {"Size": {"type": "integer", "minimum": 1}, "Word": {"const": "5"}},
    }
    lark = constraint(xml, NAMED, (Tool("clock", parameters=schema),))
    note = '<parameter=note>\nsay "hi"\n</param\n</parameter>\n'
    size, kind = ("<parameter=size>\n3\n</parameter>\n", "<parameter=kind>\n5\n</parameter>\n")
    word = kind.replace("kind", "word")
    for inner in (note, note + size, note + kind + word, note + size + kind):
        text = f"<tool_call>\n<function=clock>\n{inner}</function>\n</tool_call>"
        assert takes(lark, text)
        (found,) = xml.parse(text).calls
        arguments = json.loads(typed(found.arguments, schema))
        assert arguments["note"] == 'say "hi"\n</param'
        assert (arguments.get("size", 3), arguments.get("kind", 5)) == (3, 5)
        assert arguments.get("word", "5") == "5"
    wrong = (size.replace("3", "0"), kind.replace("5", "6"), word.replace("5", "6"))
    for inner in ("", size, size + note, *(note + one for one in wrong)):
        text = f"<tool_call>\n<function=clock>\n{inner}</function>\n</tool_call>"
        assert not takes(lark, text)


def test_arguments_alone_are_those_of_tools_that_may_be_called() -> None:
    found = dict(argument_constraints(TOOLS, REQUIRED))
    assert sorted(found) == [0, 1]
    assert json.loads(found[1].texts[0]) == {"type": "object", "additionalProperties": False}
    assert sorted(dict(argument_constraints(TOOLS, NAMED))) == [0]


@pytest.mark.parametrize(
    ("tools", "choice", "expected"),
    [
        (TOOLS, REQUIRED, []),
        (TOOLS, NAMED, []),
        ((), ToolChoice(ToolMode.NONE), []),
        ((), ToolChoice(parallel=False), []),
        ((), REQUIRED, [("tools", "at least one tool")]),
        ((), NAMED, [("tools", "at least one tool")]),
        (TOOLS, ToolChoice(ToolMode.REQUIRED, "horn"), [("tool_choice.name", "clock, bell")]),
        (TOOLS, ToolChoice(ToolMode.NONE, "bell"), [("tool_choice.mode", "left out, not none")]),
        ((Tool(""),), ToolChoice(), [("tools[0].name", "must not be empty")]),
        (
            (*TOOLS, Tool("bell")),
            ToolChoice(),
            [("tools[2].name", "another than that of tools[1]")],
        ),
        ((Tool("x", "", {"type": "string"}),), ToolChoice(), [("tools[0].parameters", "object")]),
    ],
)
def test_choices_that_cannot_be(
    tools: tuple[Tool, ...], choice: ToolChoice, expected: list[tuple[str, str]]
) -> None:
    found: list[Violation] = violations(Chat((Message("user", "Hi"),), tools, choice=choice))
    assert [item.field for item in found] == [field for field, _ in expected]
    for item, (_, part) in zip(found, expected, strict=True):
        assert part in item.description
