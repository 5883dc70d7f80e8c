"""What a simulated model replies: a sentence of the prompt, an instance of a schema, a call, a refusal.

May import `prompt` and `endpoint`.
"""
