"""What the Rust guest `flow` has, function by function, for histories to be compared."""

import durawasm as df

import activities
import calls
import chances
import failures
import manage
import program
import waits

app = df.DFApp(version="0.1.0")
for part in (activities, calls, chances, failures, manage, program, waits):
    app.register_functions(part.functions)
