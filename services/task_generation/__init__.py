"""Task generation: which executions, which first steps, in which batches; never one message per task.

Owns generation plans. Consumes `task-generation.commands`; produces `task-generation.batches` (to execution, which
expands them to tasks) and `task-generation.events`.
"""
