"""What tests written for the original step through an orchestrator with; see also `durawasm.testing`."""

from typing import Any, Generator


def orchestrator_generator_wrapper(generator: Generator[Any, Any, Any]) -> Generator[Any, None, None]:
    """Gives the tasks that a generator yields, and last what it returns. It gets each task's result, or its exception."""
    try:
        task = next(generator)
        while True:
            yield task
            try:
                result = task.result
            except Exception as error:
                task = generator.throw(error)
            else:
                task = generator.send(result)
    except StopIteration as stop:
        yield stop.value
