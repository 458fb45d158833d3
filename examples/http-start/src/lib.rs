//! Functions that start orchestrations and manage them: over HTTP and by hand.

mod manage;
mod orchestrations;
mod start;

durawasm::app!(
    start::http_start,
    start::http_start_single,
    start::http_start_once,
    start::http_sync_start,
    start::hello_world_manual_start,
    manage::get_status,
    manage::get_all_status,
    manage::query_status,
    manage::raise_event,
    manage::terminate_instance,
    manage::rewind_instance,
    manage::purge_instance,
    manage::purge_history,
    orchestrations::hello_sequence,
    orchestrations::say_hello,
    orchestrations::hello_world,
    orchestrations::sum,
    orchestrations::instance_info,
    orchestrations::make_instance_info,
);
