"""Tests without a server: `pip install pytest` and the SDK, then `pytest`."""

from durawasm.testing import Runner

from function_app import app


def test_it_greets_three_cities():
    result = Runner(app).run("hello_sequence")
    assert result.output == ["Hello Tokyo!", "Hello Seattle!", "Hello London!"]
    assert result.activities("say_hello") == ["Tokyo", "Seattle", "London"]
