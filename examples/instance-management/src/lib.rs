//! Functions that manage instances, by hand and over HTTP, and the orchestrations that they are tried with.

mod database;
mod manage;
mod orchestrations;
mod purchase;

durawasm::app!(
    database::take_document,
    manage::hello_world_manual_start,
    manage::start_many,
    manage::get_status,
    manage::get_all_status,
    manage::query_status,
    manage::raise_event,
    manage::terminate_instance,
    manage::rewind_instance,
    manage::purge_instance,
    manage::purge_history,
    orchestrations::hello_world,
    orchestrations::say_hello,
    orchestrations::sum,
    orchestrations::counter,
    orchestrations::introduce,
    orchestrations::send_instance_info,
    purchase::purchase,
    purchase::ask_for_approval,
    purchase::notify_approver,
    purchase::save_purchase,
);
