//! Functions that start orchestrations over HTTP, and a singleton for them to start.

mod job;
mod start;

durawasm::app!(
    start::http_start,
    start::http_start_single,
    start::http_start_once,
    start::http_sync_start,
    job::background_job,
);
