//! Every limit that guests are held to, each with its reason.

use std::time::Duration;

pub use durawasm_core::model::{NAME_CHARS, TAG_VALUE_CHARS, TAGS};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The limits of guests. The defaults are meant for a server that many tenants share.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a component. A Python app has about 22 MB; three times that leaves room and still compiles in time.
    pub component_size: usize,
    /// How long compiling a component may take by the clock, for what hangs: what compiling costs is bounded below. A Python
    /// app took 193 s beside 20 busy processes on two cores, with 16 s of processor time; three times that is kept free.
    pub compile_time: Duration,
    /// Processor time of a compilation, all cores together: others' components wait for it. A Python app took 16 s; ten
    /// times that and more is for slower machines and larger apps.
    pub compile_processor_time: Duration,
    /// Bytes of address space of a process that compiles. A Python app of 20 MB took 471 MB on two cores; more of them
    /// compile more at once.
    pub compile_memory: u64,
    /// Bytes that are kept of what a process that compiles says: it quotes names of the component, which may be long.
    pub compile_words: usize,
    /// How long `describe` may run. It lists names; an interpreter needs some time to start.
    pub describe_time: Duration,
    /// Functions an app may declare. The list is kept with every version of the app.
    pub functions: usize,
    /// Bytes of all memories and tables of an orchestrator together. Many wait in memory at once.
    pub orchestrator_memory: usize,
    /// Bytes of all memories and tables of an activity together. Few run at once, and they do the work.
    pub activity_memory: usize,
    /// Bytes of JSON in one input, result or event. It is stored, sent and replayed.
    pub payload: usize,
    /// Bytes of a log line; the rest is cut.
    pub log_line: usize,
    /// Log lines of one run; a loop that logs must not fill the disk. Later lines are dropped.
    pub log_lines: u32,
    /// Bytes of the end of stderr that are kept: a panic's message is there.
    pub stderr_tail: usize,
    /// How long an orchestrator may run between two waits. Its work belongs into activities.
    pub running_time: Duration,
    /// How long an orchestrator may take from one wait to the next in all, whatever it does: turns of others included, and
    /// calls of the host that do not return. Other guests get their turns in much less.
    pub episode_time: Duration,
    /// Calls of the host (the contract's, clocks, random numbers, polls) that an orchestrator may make between two waits.
    /// The same in every replay, which a time is not.
    pub host_calls: u32,
    /// Fuel of an orchestrator between the place where it had to wait and the next: about an instruction each. What its
    /// running time allows it at most: it is there for those who are served at each wait and never run for long.
    pub episode_fuel: u64,
    /// Resource handles (streams, pollables) that a guest may hold. Ours are few and small.
    pub handles: usize,
    /// How long a guest that has answered an HTTP call stays for the next one of its app, if it may. It takes a place and
    /// what it has touched of its memory; making another one takes some 30 us.
    pub function_stay: Duration,
    /// Orchestrators and activities that exist at once, parked ones included. Each takes about seven memory mappings,
    /// and Linux allows a process 65,530.
    pub concurrent_guests: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            component_size: 64 * MIB,
            compile_time: Duration::from_secs(600),
            compile_processor_time: Duration::from_secs(240),
            compile_memory: 4 << 30,
            compile_words: 8 * KIB,
            describe_time: Duration::from_secs(10),
            functions: 1_000,
            orchestrator_memory: 128 * MIB,
            activity_memory: 256 * MIB,
            payload: 4 * MIB,
            log_line: 8 * KIB,
            log_lines: 10_000,
            stderr_tail: 4 * KIB,
            running_time: Duration::from_secs(10),
            episode_time: Duration::from_secs(120),
            host_calls: 1_000_000,
            episode_fuel: 50_000_000_000,
            handles: 1_000,
            function_stay: Duration::from_secs(2),
            concurrent_guests: 4_000,
        }
    }
}

impl Limits {
    /// Bytes that a guest may hand to the host in one call: a payload in UTF-16 with what is around it, or the ids of
    /// as many tasks as an execution can make.
    #[must_use]
    pub fn hostcall_bytes(&self) -> usize {
        (4 * self.payload).max(8 * TASKS)
    }

    /// How long `describe` may take in all: others may have turns, and calls of the host may take time.
    #[must_use]
    pub fn describe_wall_time(&self) -> Duration {
        self.describe_time.saturating_mul(6)
    }

    /// Bytes of address space that are reserved for guests at least: that of their memories.
    #[must_use]
    pub fn address_space(&self) -> u64 {
        u64::from(self.concurrent_guests).saturating_mul(MEMORY_RESERVATION)
    }
}

/// Memory mappings that a guest takes, about: its memory and stack with their guards, and what of them it has touched.
pub const MAPPINGS: u64 = 7;
/// Address space of a linear memory. With 4 GiB no access needs a bounds check; it is not memory until it is touched.
pub(super) const MEMORY_RESERVATION: u64 = 1 << 32;
/// Characters of the name of a function that an app declares.
pub const FUNCTION_NAME_CHARS: usize = 128;
/// Characters of an app's version label and of its SDK's name; people read them.
pub const LABEL_CHARS: usize = 128;
/// Bytes of a custom status, counted in UTF-16 as the original does: its users rely on the number.
pub const CUSTOM_STATUS_UTF16_BYTES: usize = 16 * KIB;
/// Bytes of what a heartbeat keeps for the next attempt: a place to go on from, not a result.
pub const HEARTBEAT: usize = 64 * KIB;
/// Headers of an HTTP call: servers take about as many.
pub const HTTP_HEADERS: usize = 100;
/// Statuses that a retry policy may name: all there are.
pub const STATUSES: usize = 1_000;
/// Bytes of a host name in any alphabet: a name that can be looked up has 253.
pub(super) const HOST_NAME: usize = 1_024;
/// Names whose addresses a run may look up.
pub const NAMES: usize = 256;
/// `wasi:http` requests of a run at once; each has a connection of its own, and further ones wait.
pub const REQUESTS: usize = 64;
/// TCP sockets of a run at once: many runs share the process's file descriptors.
pub const SOCKETS: usize = 64;
/// Tasks of one execution: what a wait may list.
pub const TASKS: usize = 100_000;
/// Attempts of a retry policy. More are a loop without an end.
pub const ATTEMPTS: u32 = 1_000_000;
/// The longest duration in milliseconds that a guest may name: 1,000 years. Keeps arithmetic on times in range.
pub const LONGEST_MS: f64 = 1_000.0 * 366.0 * 86_400_000.0;
/// Links in the chain of causes of a failure.
pub const CAUSES: usize = 32;
/// Bytes of an error type.
pub const ERROR_TYPE: usize = 256;
/// Bytes of a failure's message or stack trace; the rest is cut. It is shown in statuses.
pub const FAILURE_TEXT: usize = 32 * KIB;
/// Random bytes a guest gets in one call.
pub const RANDOM_BYTES: u64 = MIB as u64;

/// Headers of a response of an HTTP function.
pub(super) const RESPONSE_HEADERS: usize = 100;
/// Bytes of a response's headers together: clients and proxies take about as many.
pub(super) const RESPONSE_HEADER_BYTES: usize = 64 * KIB;
/// Bytes of a response's body. It is whole in memory, twice: the guest's and the host's.
pub(super) const RESPONSE_BODY: usize = 16 * MIB;
/// Instances in a page of the durable client when the guest does not say.
pub(super) const PAGE: u32 = 100;
/// Instances in such a page at most.
pub(super) const LARGEST_PAGE: u32 = 1_000;
/// Bytes of payloads after which such a page ends: all of it becomes the guest's memory at once.
pub(super) const PAGE_BYTES: usize = 8 * MIB;

/// Stack of wasm code. CPython recurses deeply; a native frame is small.
pub(super) const WASM_STACK: usize = MIB;
/// The whole fiber: what wasm may use and 512 KiB for the host functions below it. Only touched pages cost memory.
pub(super) const FIBER_STACK: usize = WASM_STACK + 512 * KIB;
/// Elements of one table. Dynamically linked Python has some 20,000 functions.
pub(super) const TABLE_ELEMENTS: usize = 100_000;
/// Core instances of one component: a Python app links about 40 libraries.
pub(super) const CORE_INSTANCES: u32 = 200;
/// Linear memories of one component: its own and an adapter's.
pub(super) const MEMORIES: u32 = 4;
/// Tables of one component.
pub(super) const TABLES: u32 = 16;
/// How far a process that compiles stands back behind the server: a deployment may wait, requests may not. With 5 it gets a
/// quarter of a core that others want as well; with 10 a tenth, which made a deployment take minutes on a busy machine.
pub(super) const COMPILE_NICENESS: i32 = 5;
/// The interval in which running guests are looked at, and so the longest slice of a processor that one gets. Whatever
/// else the server does waits for as long, several times for each step of an orchestration; shorter costs time.
pub(super) const TICK: Duration = Duration::from_millis(1);
