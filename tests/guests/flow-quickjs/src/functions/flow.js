// The same functions on the other engine.
import "../../../flow-js/src/functions/activities.js";
import "../../../flow-js/src/functions/calls.js";
import "../../../flow-js/src/functions/context.js";
import "../../../flow-js/src/functions/failures.js";
import "../../../flow-js/src/functions/manage.js";
import "../../../flow-js/src/functions/program.js";
import "../../../flow-js/src/functions/waits.js";
