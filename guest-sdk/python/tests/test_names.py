"""Names and shapes of the original that apps and their tests use."""

from types import SimpleNamespace
from unittest.mock import Mock

import azure.durable_functions as df
import pytest
from azure.durable_functions.testing import orchestrator_generator_wrapper

app = df.DFApp(http_auth_level="anonymous")


@app.orchestration_trigger(context_name="context")
def chain(context: df.DurableOrchestrationContext):
    first = yield context.call_activity("hello", "Tokyo")
    try:
        second = yield context.call_activity("hello", "Seattle")
    except ValueError as error:
        second = str(error)
    return [first, second]


@app.route(route="start")
@app.durable_client_input(client_name="client")
async def start(req, client):
    return await client.start_new("chain")


class Failing:
    @property
    def result(self):
        raise ValueError("no second")


def test_an_orchestrator_is_stepped_through_as_in_the_originals_guide():
    context = Mock(df.DurableOrchestrationContext)
    context.call_activity = Mock(side_effect=[SimpleNamespace(result="Hello Tokyo"), Failing()])
    function = chain.build().get_user_function().orchestrator_function
    values = list(orchestrator_generator_wrapper(function(context)))
    assert values[-1] == ["Hello Tokyo", "no second"]
    assert [call.args for call in context.call_activity.call_args_list] == [("hello", "Tokyo"), ("hello", "Seattle")]


def test_a_client_function_is_found_where_the_original_has_it():
    assert start.build().get_user_function().client_function.__name__ == "start"


def test_what_is_not_offered_is_said():
    with pytest.raises(ImportError, match="entities are not offered"):
        from azure.durable_functions import EntityId  # noqa: F401
    with pytest.raises(AttributeError, match="no queue_trigger: .* timer_trigger"):
        app.queue_trigger(arg_name="message", queue_name="q", connection="c")
    with pytest.raises(AttributeError, match="no attribute 'orchestration_triger'"):
        app.orchestration_triger(context_name="context")
