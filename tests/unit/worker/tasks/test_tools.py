"""Calls of tools in what models write, whole and as it grows."""

import json

import pytest

from lepton_testing.templates import CHATML, LLAMA, MISTRAL
from lepton_worker.tasks.json_text import members
from lepton_worker.tasks.tools import (
    FORMATS,
    Call,
    CallReader,
    Parsed,
    format_of,
    may_become_bare,
    parse_bare,
    parse_list,
    parse_tags,
    parse_xml,
)
from lepton_worker.tasks.tools_xml import typed

XML, TAGS, NAMED, LISTS, BARE = FORMATS
ADD = Call("add", '{"a": 1, "b": [2, 3]}')
ADD_TEXT = '{"name": "add", "arguments": {"a": 1, "b": [2, 3]}}'
BARE_TEXT = '{"name": "add", "parameters": {"a": 1, "b": [2, 3]}}'


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (CHATML, TAGS),
        (MISTRAL, LISTS),
        (LLAMA, BARE),
        ("<|python_tag|>", BARE),
        ("{{ x }}", BARE),
        ("[TOOL_CALLS]{{ x }}[ARGS]", NAMED),
    ],
)
def test_the_template_shows_how_calls_are_written(template: str, expected: object) -> None:
    assert format_of(template) is expected


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (f"<tool_call>\n{ADD_TEXT}\n</tool_call>", Parsed("", (ADD,))),
        (f"<tool_call>{ADD_TEXT}</tool_call>\n<tool_call>{ADD_TEXT}</tool_call>",
         Parsed("", (ADD, ADD))),
        (f"<tool_call>{ADD_TEXT}", Parsed("", (ADD,))),
        (f"<tool_call>{ADD_TEXT}</tool_call> Done.", Parsed(" Done.", (ADD,))),
        ("<tool_call>{}</tool_call>", Parsed("<tool_call>{}</tool_call>")),
        ("<tool_call>add(1)</tool_call>", Parsed("<tool_call>add(1)</tool_call>")),
        (f"<tool_call>no</tool_call><tool_call>{ADD_TEXT}</tool_call>",
         Parsed("<tool_call>no</tool_call>", (ADD,))),
        (f"<tool_call>{ADD_TEXT}{ADD_TEXT}</tool_call>",
         Parsed(f"<tool_call>{ADD_TEXT}{ADD_TEXT}</tool_call>")),
        ("<tool", Parsed("<tool")),
        (" ", Parsed(" ")),
        ("", Parsed("")),
    ],
)  # fmt: skip
def test_tags(text: str, parsed: Parsed) -> None:
    assert parse_tags(text) == parsed


XML_TEXT = """<tool_call>
<function=add>
<parameter=a>
1
</parameter>
<parameter=b>
two
lines
</parameter>
</function>
</tool_call>"""
XML_ADD = Call("add", '{"a": "1", "b": "two\\nlines"}', untyped=True)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (XML_TEXT, Parsed("", (XML_ADD,))),
        (f"{XML_TEXT}\n{XML_TEXT}\n", Parsed("", (XML_ADD, XML_ADD))),
        (XML_TEXT.removeprefix("<tool_call>\n"), Parsed("", (XML_ADD,))),
        (f"{XML_TEXT} Done.", Parsed(" Done.", (XML_ADD,))),
        ("<function=f></function>", Parsed("", (Call("f", "{}", untyped=True),))),
        ("<function=f>x</function>", Parsed("<function=f>x</function>")),
        (XML_TEXT[:-25], Parsed(XML_TEXT[:-25])),
        ("<tool_call>", Parsed("<tool_call>")),
    ],
)
def test_xml(text: str, parsed: Parsed) -> None:
    assert parse_xml(text) == parsed


def test_texts_become_what_the_schema_says() -> None:
    schema = {
        "properties": {
            "a": {"type": "integer"},
            "b": {"type": "string"},
            "c": {"$ref": "#/$defs/C"},
            "d": {"enum": ["1", "2"]},
        },
        "$defs": {"C": {"type": "string"}},
    }
    sent = {"a": "1", "b": "2", "c": "3", "d": "4", "e": "[5]", "f": "six", "g": "null"}
    assert json.loads(typed(json.dumps(sent), schema)) == {
        "a": 1, "b": "2", "c": "3", "d": "4", "e": [5], "f": "six", "g": None
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (f"[TOOL_CALLS] [{ADD_TEXT}]", Parsed("", (ADD,))),
        (f"[TOOL_CALLS][{ADD_TEXT} , {ADD_TEXT}]\n", Parsed("", (ADD, ADD))),
        ('[TOOL_CALLS] [{"name": "add", "arguments": {}, "id": "abc"}]',
         Parsed("", (Call("add", "{}", "abc"),))),
        ('[TOOL_CALLS]add{"a": 1}', Parsed("", (Call("add", '{"a": 1}'),))),
        ('[TOOL_CALLS]add[ARGS]{"a": 1}[TOOL_CALLS]sub[ARGS]{}',
         Parsed("", (Call("add", '{"a": 1}'), Call("sub", "{}")))),
        (f"Well: [TOOL_CALLS] [{ADD_TEXT}]", Parsed("Well: ", (ADD,))),
        (f"[TOOL_CALLS] [{ADD_TEXT}", Parsed(f"[TOOL_CALLS] [{ADD_TEXT}")),
        (f"[TOOL_CALLS] [{ADD_TEXT}, 1]", Parsed(f"[TOOL_CALLS] [{ADD_TEXT}, 1]")),
        (f"[TOOL_CALLS] [{ADD_TEXT}] x", Parsed(f"[TOOL_CALLS] [{ADD_TEXT}] x")),
        ("[TOOL_CALLS] []", Parsed("[TOOL_CALLS] []")),
        ("[TOOL_CALLS]add(1)", Parsed("[TOOL_CALLS]add(1)")),
        (f"[{ADD_TEXT}]", Parsed(f"[{ADD_TEXT}]")),
    ],
)  # fmt: skip
def test_lists(text: str, parsed: Parsed) -> None:
    assert parse_list(text) == parsed


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (BARE_TEXT, Parsed("", (ADD,))),
        (f"\n{BARE_TEXT}\n", Parsed("", (ADD,))),
        (f"<|python_tag|>{BARE_TEXT}", Parsed("", (ADD,))),
        (f"{BARE_TEXT}; {BARE_TEXT}", Parsed("", (ADD, ADD))),
        ('{"type": "function", "name": "add", "parameters": {}}',
         Parsed("", (Call("add", "{}"),))),
        ('{"type": "function", "function": {"name": "add", "arguments": {}}}',
         Parsed("", (Call("add", "{}"),))),
        ('{"name": "add", "arguments": "{\\"a\\": 1}"}', Parsed("", (Call("add", '{"a": 1}'),))),
        (f"{BARE_TEXT} and more", Parsed(f"{BARE_TEXT} and more")),
        (f"{BARE_TEXT};", Parsed(f"{BARE_TEXT};")),
        ('{"name": "add"}', Parsed('{"name": "add"}')),
        ('{"name": 1, "parameters": {}}', Parsed('{"name": 1, "parameters": {}}')),
        ('{"name": "add", "parameters": [1]}', Parsed('{"name": "add", "parameters": [1]}')),
        ('{"name": "add", "parameters": {', Parsed('{"name": "add", "parameters": {')),
        ("no call", Parsed("no call")),
        ("", Parsed("")),
    ],
)  # fmt: skip
def test_bare(text: str, parsed: Parsed) -> None:
    assert parse_bare(text) == parsed


def test_deeply_nested_text_is_no_call() -> None:
    for opened in ('{"name":' * 100_000, '{"function":' * 100_000 + "1" + "}" * 100_000):
        assert parse_bare(opened) == Parsed(opened)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", {}),
        (' {"a" : 1.50 , "b":{"c": "}"}, "é":"\\n" } ',
         {"a": "1.50", "b": '{"c": "}"}', "é": '"\\n"'}),
        ("[1]", None),
        ('{"a": 1', None),
        ("", None),
    ],
)  # fmt: skip
def test_members_keep_their_spelling(text: str, expected: dict[str, str] | None) -> None:
    assert members(text) == expected


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("", True),
        ("\n", True),
        ("<|pyt", True),
        ("<|python_tag|>import", True),
        ("{", True),
        ('{ "na', True),
        ('{"name": "x"', True),
        ('{"answer": 1}', False),
        ("{1", False),
        ("The", False),
    ],
)
def test_a_bare_call_shows_early(text: str, may: bool) -> None:
    assert may_become_bare(text) is may


def read(reader: CallReader, text: str, size: int) -> tuple[str, Parsed]:
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    return "".join(reader.feed(piece) for piece in pieces), reader.end()


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    ("how", "text", "shown", "calls"),
    [
        (TAGS, f"Sure.\n<tool_call>\n{ADD_TEXT}\n</tool_call>", "Sure.\n", (ADD,)),
        (TAGS, "1 < 2 <tool> <tool_cal", "1 < 2 <tool> <tool_cal", ()),
        (TAGS, "a <tool_call>b</tool_call> c", "a <tool_call>b</tool_call> c", ()),
        (LISTS, f"Sure. [TOOL_CALLS] [{ADD_TEXT}]", "Sure. ", (ADD,)),
        (LISTS, "[TOOL] [TOOL_CALLS", "[TOOL] [TOOL_CALLS", ()),
        (BARE, BARE_TEXT, "", (ADD,)),
        (BARE, '{"sum": 3}', '{"sum": 3}', ()),
        (BARE, f"It is {BARE_TEXT}", f"It is {BARE_TEXT}", ()),
        # A tool that was not offered.
        (TAGS, f"<tool_call>{ADD_TEXT.replace('add', 'other')}</tool_call>",
         f"<tool_call>{ADD_TEXT.replace('add', 'other')}</tool_call>", ()),
    ],
)  # fmt: skip
def test_text_and_calls_do_not_depend_on_the_pieces(
    how: object, text: str, shown: str, calls: tuple[Call, ...], size: int
) -> None:
    early, parsed = read(CallReader(how, ["add", "sub"]), text, size)  # type: ignore[arg-type]
    assert (early + parsed.text, parsed.calls) == (shown, calls)


def test_text_is_held_back_only_where_a_call_may_begin() -> None:
    reader = CallReader(TAGS, ["add"])
    assert reader.feed("a <") == "a "
    assert reader.feed("b <tool_call>{") == "<b "
    assert reader.feed("more") == ""
    assert reader.rest() == "<tool_call>{more"
    reader = CallReader(BARE, ["add"])
    assert reader.feed('{"') == ""
    assert reader.feed("sum") == '{"sum'
    assert reader.feed(' {"name') == ' {"name'
