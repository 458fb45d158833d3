//! GUIDs that are the same in every replay (semantics.md, new guid).

use jiff::Timestamp;
use uuid::{Uuid, uuid};

const NAMESPACE: Uuid = uuid!("9e952959-5e33-4daf-827f-2fa12937b875");

/// Version 5 over `{instance}_{time}_{counter}`, the time in the round-trip format of .NET (7 fraction digits).
pub(crate) fn deterministic(instance_id: &str, now: Timestamp, counter: u32) -> Uuid {
    let name = format!("{instance_id}_{now:.7}_{counter}");
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

/// The instance id of a sub-orchestration that was given none: 32 hex digits from the parent's execution and the call.
/// `call`: the task and the attempt, or the number of the child that nobody waits for.
pub(crate) fn child_id(execution_id: &str, call: std::fmt::Arguments<'_>) -> String {
    Uuid::new_v5(&NAMESPACE, format!("{execution_id}_{call}").as_bytes()).simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_made_as_the_original_makes_it() {
        let now: Timestamp = "2026-01-02T03:04:05.6Z".parse().unwrap();
        let name = "abc_2026-01-02T03:04:05.6000000Z_0";
        assert_eq!(deterministic("abc", now, 0), Uuid::new_v5(&NAMESPACE, name.as_bytes()));
        assert_ne!(deterministic("abc", now, 0), deterministic("abc", now, 1));
    }
}
