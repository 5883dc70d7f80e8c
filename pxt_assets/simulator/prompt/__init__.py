"""What a simulated model is asked: messages, pictures, tools, the schema of the answer.

May import `endpoint`.
"""
