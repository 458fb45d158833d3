//! What the machine allows this process, compared with what the server may come to need: said when it starts, and not
//! when it is under load.

use std::fmt;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the process may have. None: as much as it likes, or nobody says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Open files, sockets included.
    pub files: Option<u64>,
    /// Memory mappings.
    pub mappings: Option<u64>,
    /// Bytes of address space.
    pub address_space: Option<u64>,
}

/// What the server may come to need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needed {
    /// Connections at once.
    pub connections: u64,
    /// Guests that may have connections of their own at once.
    pub working_guests: u64,
    /// Guests at once.
    pub guests: u64,
    /// Memory mappings that a guest takes.
    pub mappings_of_guest: u64,
    /// Bytes of address space that are reserved for guests.
    pub address_space: u64,
}

/// Files of the process itself: the store's, components that are being read, the runtime's.
const OWN_FILES: u64 = 128;
/// Mappings of the process itself: its code, threads, heap, compiled components.
const OWN_MAPPINGS: u64 = 2_048;
/// Address space of the process itself, in bytes.
const OWN_ADDRESS_SPACE: u64 = 4 << 30;

/// Something of which the machine allows too little.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Shortage {
    /// Connections beyond it wait.
    #[error(
        "this process may open {allowed} files, and needs {needed} for {connections} connections and {working_guests} working \
         guests at once: further ones wait or fail. Raise the limit, such as with `ulimit -n {needed}` or LimitNOFILE="
    )]
    Files {
        /// What is allowed.
        allowed: u64,
        /// What is needed.
        needed: u64,
        /// For so many connections.
        connections: u64,
        /// And so many guests.
        working_guests: u64,
    },
    /// Guests beyond it cannot be started, and are tried again.
    #[error(
        "this process may have {allowed} memory mappings, enough for about {possible} guests at once instead of {guests}. \
         Raise the limit with `sysctl -w vm.max_map_count={needed}`"
    )]
    Mappings {
        /// What is allowed.
        allowed: u64,
        /// What is needed.
        needed: u64,
        /// Guests for which it is enough.
        possible: u64,
        /// Guests that the server admits.
        guests: u64,
    },
    /// No guest can run.
    #[error(
        "this process may have {} of address space, and reserves {} for {guests} guests (address space is no memory, and \
         costs nothing). Take the limit away with `ulimit -v unlimited`",
        Bytes(*allowed), Bytes(*needed)
    )]
    AddressSpace {
        /// What is allowed, in bytes.
        allowed: u64,
        /// What is needed, in bytes.
        needed: u64,
        /// For so many guests.
        guests: u64,
    },
}

impl Shortage {
    /// True: the server cannot work at all.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::AddressSpace { .. } => true,
            Self::Files { .. } | Self::Mappings { .. } => false,
        }
    }
}

/// A number of bytes, for people.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} GiB", self.0 as f64 / f64::from(1 << 30))
    }
}

/// Of what the machine allows too little.
#[must_use]
pub fn shortages(allowed: Allowed, needed: &Needed) -> Vec<Shortage> {
    let &Needed { connections, working_guests, guests, mappings_of_guest, address_space } = needed;
    let short = |allowed: Option<u64>, needed: u64| allowed.filter(|allowed| *allowed < needed);
    let files = connections.saturating_add(working_guests).saturating_add(OWN_FILES);
    let mappings = guests.saturating_mul(mappings_of_guest).saturating_add(OWN_MAPPINGS);
    let space = address_space.saturating_add(OWN_ADDRESS_SPACE);
    let of_files = short(allowed.files, files).map(|allowed| Shortage::Files {
        allowed,
        needed: files,
        connections,
        working_guests,
    });
    let of_mappings = short(allowed.mappings, mappings).map(|allowed| Shortage::Mappings {
        allowed,
        needed: mappings,
        possible: allowed.saturating_sub(OWN_MAPPINGS) / mappings_of_guest.max(1),
        guests,
    });
    let of_space =
        short(allowed.address_space, space).map(|allowed| Shortage::AddressSpace { allowed, needed: space, guests });
    [of_files, of_mappings, of_space].into_iter().flatten().collect()
}

/// What this process may have, after its limit of open files was raised as far as it may raise it.
#[must_use]
pub fn allowed() -> Allowed {
    raise_files();
    Allowed {
        files: getrlimit(Resource::Nofile).current,
        mappings: std::fs::read_to_string("/proc/sys/vm/max_map_count").ok().and_then(|text| mappings(&text)),
        address_space: getrlimit(Resource::As).current,
    }
}

fn mappings(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

fn raise_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDED: Needed =
        Needed { connections: 1_000, working_guests: 100, guests: 500, mappings_of_guest: 7, address_space: 500 << 32 };

    #[test]
    fn enough_is_not_worth_a_word() {
        assert_eq!(shortages(Allowed::default(), &NEEDED), []);
        let enough = Allowed { files: Some(1_228), mappings: Some(5_548), address_space: Some(504 << 32) };
        assert_eq!(shortages(enough, &NEEDED), []);
    }

    #[test]
    fn each_shortage_says_how_much_is_needed_and_what_to_do() {
        let little = Allowed { files: Some(1_227), mappings: Some(5_547), address_space: Some(8 << 30) };
        let found = shortages(little, &NEEDED);
        let texts: Vec<_> = found.iter().map(Shortage::to_string).collect();
        assert_eq!(found.len(), 3);
        assert!(texts[0].contains("1227 files") && texts[0].contains("`ulimit -n 1228`"), "{}", texts[0]);
        assert!(texts[1].contains("about 499 guests") && texts[1].contains("vm.max_map_count=5548"), "{}", texts[1]);
        assert!(texts[2].contains("8.0 GiB") && texts[2].contains("2004.0 GiB"), "{}", texts[2]);
        assert_eq!(found.iter().map(Shortage::is_fatal).collect::<Vec<_>>(), [false, false, true]);
    }

    #[test]
    fn less_than_the_process_itself_needs_is_no_guest() {
        let none = Allowed { mappings: Some(10), ..Allowed::default() };
        assert!(matches!(shortages(none, &NEEDED)[..], [Shortage::Mappings { possible: 0, .. }]));
    }

    #[test]
    fn the_machine_is_asked() {
        let allowed = allowed();
        assert_eq!(allowed.files, getrlimit(Resource::Nofile).maximum, "raised as far as it may be");
        if cfg!(target_os = "linux") {
            assert!(allowed.mappings.is_some_and(|mappings| mappings > 1_000));
        }
        assert_eq!(mappings("65530\n"), Some(65_530));
        assert_eq!(mappings("many"), None);
    }
}
