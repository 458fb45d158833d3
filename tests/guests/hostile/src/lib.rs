//! Functions that misbehave. Most exist as orchestrator and as activity, under the same name.

mod activities;
mod deeds;
mod http;
mod orchestrators;
mod raw;

durawasm::app!(
    activities::grow_memory,
    activities::huge_heartbeat,
    activities::huge_log,
    activities::loop_forever,
    activities::panics,
    activities::print_forever,
    activities::return_100mb,
    activities::stack_overflow,
    activities::wrong_role,
    http::count,
    http::deed,
    http::fine,
    http::for_admins,
    http::pages,
    orchestrators::calls_client,
    orchestrators::grow_memory,
    orchestrators::huge_log,
    orchestrators::loop_forever,
    orchestrators::panics,
    orchestrators::print_forever,
    orchestrators::return_100mb,
    orchestrators::spin_on_clock,
    orchestrators::stack_overflow,
    orchestrators::wrong_role,
    raw::activity_bad_json,
    raw::bad_json,
    raw::bad_json_input,
    raw::bad_status,
    raw::bad_timer,
    raw::cancel_unknown,
    raw::empty_all,
    raw::empty_any,
    raw::foreign_result,
    raw::huge_input,
    raw::huge_status,
    raw::million_tasks,
    raw::million_timers,
    raw::result_twice,
    raw::served_forever,
    raw::unknown_task,
);
