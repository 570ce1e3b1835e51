"""Chat templates of our own, each in the manner of a family of models."""

CHATML = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- 'Tools:' }}
    {%- for tool in tools %}
        {{- '\\n' }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- '\\nCall one as <tool_call>{"name": ..., "arguments": ...}</tool_call><|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- elif message.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' }}
        {%- generation %}
        {{- message.content }}
        {%- for call in message.tool_calls or [] %}
            {%- if call.function %}
                {%- set call = call.function %}
            {%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' + call.name + '", "arguments": ' }}
            {{- call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {%- endgeneration %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'tool' %}
        {{- '<|im_start|>tool\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""
"""Of Qwen and Hermes: tags around calls, a switch for thinking, a generation block."""

LLAMA = """\
{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = strftime_now('%d %b %Y') %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system = '' %}
{%- endif %}
{{- '<|start_header_id|>system<|end_header_id|>\\n\\nToday: ' + date_string + '\\n\\n' }}
{{- system + '<|eot_id|>' }}
{%- if tools is not none %}
    {{- '<|start_header_id|>user<|end_header_id|>\\n\\n' }}
    {{- 'Answer with {"name": function name, "parameters": its arguments}.\\n\\n' }}
    {%- for tool in tools %}
        {{- tool | tojson(indent=4) }}
        {{- '\\n\\n' }}
    {%- endfor %}
    {{- '<|eot_id|>' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role not in ['user', 'assistant', 'tool'] %}
        {{- raise_exception('only the first message may be of the system') }}
    {%- endif %}
    {%- if 'tool_calls' in message %}
        {%- if not message.tool_calls | length == 1 %}
            {{- raise_exception('one call at a time') }}
        {%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
        {{- '{"name": "' + call.name + '", "parameters": ' + call.arguments | tojson + '}' }}
        {{- '<|eot_id|>' }}
    {%- else %}
        {{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' }}
        {{- message.content | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
"""Of Llama 3: the begin token is the template's own, messages are trimmed, bare calls."""

MISTRAL = """\
{%- set state = namespace(expected='user') -%}
{%- set ids = dict() -%}
{{- bos_token -}}
{%- for message in messages -%}
{%- if message.role == 'system' -%}{%- continue -%}{%- endif -%}
{%- if message.role in ['user', 'assistant'] and not message.tool_calls -%}
    {%- if message.role != state.expected -%}
        {{- raise_exception('user and assistant have to take turns') -}}
    {%- endif -%}
    {%- set state.expected = 'assistant' if message.role == 'user' else 'user' -%}
{%- endif -%}
{%- if message.role == 'user' -%}
    {%- if loop.last and tools -%}
        {{- '[AVAILABLE_TOOLS] ' + tools | map(attribute='function') | list | tojson -}}
        {{- '[/AVAILABLE_TOOLS]' -}}
    {%- endif -%}
    {{- '[INST] ' + message.content + '[/INST]' -}}
{%- elif message.tool_calls is defined -%}
    {{- '[TOOL_CALLS] [' -}}
    {%- for call in message.tool_calls -%}
        {%- if call.id | length != 9 -%}
            {{- raise_exception('ids of calls have nine characters') -}}
        {%- endif -%}
        {{- {'name': call.function.name, 'arguments': call.function.arguments,
             'id': call.id} | tojson -}}
        {{- ', ' if not loop.last -}}
    {%- endfor -%}
    {{- ']' + eos_token -}}
{%- elif message.role == 'tool' -%}
    {{- '[TOOL_RESULTS] ' + {'content': message.content, 'id': message.tool_call_id} | tojson -}}
    {{- '[/TOOL_RESULTS]' -}}
{%- else -%}
    {{- ' ' + message.content + eos_token -}}
{%- endif -%}
{%- endfor -%}
"""
"""Of Mistral: roles take turns, calls are a list with ids of nine characters."""

TEMPLATES = {"chatml": CHATML, "llama": LLAMA, "mistral": MISTRAL}
