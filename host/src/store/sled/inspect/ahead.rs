//! Reading on several threads, taken in order: most of the time goes into copying segments and into their checksums.

use std::io;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::mpsc::sync_channel;
use std::thread;

use super::super::open::SEGMENT_BYTES;

/// As many as keep a disk busy; each has a buffer of its own.
const READERS: usize = 4;

/// What each reader may have ready: as much as is read while the one before is taken.
const READY: usize = 1;

/// Parts that a reader announces before it comes to them.
const ANNOUNCED: usize = 4;

/// Reads each part with `read`, which has a buffer for a segment, and hands the results to `take`, in the order of the
/// parts, until that breaks off. Parts are announced a little before they are read: the log's segments lie anywhere, so
/// that the operating system cannot see what comes next.
///
/// # Errors
/// The first that `read` has for a part that is still wanted, or the system's when it has no thread left.
pub(super) fn in_order<P: Sync, T: Send>(
    parts: &[P],
    announce: impl Fn(&P) + Sync,
    read: impl Fn(&P, &mut [u8]) -> io::Result<T> + Sync,
    mut take: impl FnMut(T) -> ControlFlow<()>,
) -> io::Result<()> {
    let readers = thread::available_parallelism().map_or(1, NonZero::get).min(READERS).min(parts.len());
    let (announce, read) = (&announce, &read);
    thread::scope(|scope| {
        let mut results = Vec::with_capacity(readers);
        for reader in 0..readers {
            let (sender, receiver) = sync_channel(READY);
            let work = move || {
                let mut buffer = vec![0; SEGMENT_BYTES];
                let mut announced = parts.iter().skip(reader).step_by(readers);
                announced.by_ref().take(ANNOUNCED).for_each(announce);
                for part in parts.iter().skip(reader).step_by(readers) {
                    announced.next().into_iter().for_each(announce);
                    // Nobody wants any more.
                    if sender.send(read(part, &mut buffer)).is_err() {
                        break;
                    }
                }
            };
            thread::Builder::new().name("store-check".to_owned()).spawn_scoped(scope, work)?;
            results.push(receiver);
        }
        for (part, _) in parts.iter().enumerate() {
            let result = results[part % readers].recv();
            let result = result.map_err(|_| io::Error::other("a thread that checks the store has panicked"))?;
            if take(result?).is_break() {
                break;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_parts_until_they_are_not_wanted() {
        let parts: Vec<usize> = (0..100).collect();
        let mut taken = Vec::new();
        let take = |part| {
            taken.push(part);
            if part == 70 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let announced = [const { AtomicUsize::new(0) }; 100];
        let announce = |part: &usize| assert_eq!(announced[*part].fetch_add(1, Ordering::SeqCst), 0, "{part} again");
        let read = |part: &usize, _: &mut [u8]| {
            assert_eq!(announced[*part].load(Ordering::SeqCst), 1, "{part} was not announced");
            Ok(*part)
        };
        in_order(&parts, announce, read, take).unwrap();
        assert_eq!(taken, (0..=70).collect::<Vec<_>>());
        in_order(&[], |()| (), |(), _| Ok(()), |()| panic!("there is no part")).unwrap();
    }

    #[test]
    fn an_error_ends_the_reading_if_its_part_is_wanted() {
        let parts: Vec<usize> = (0..100).collect();
        let read = |part: &usize, _: &mut [u8]| match part {
            50 => Err(io::Error::other("unreadable")),
            part => Ok(*part),
        };
        let mut taken = 0;
        let error = in_order(
            &parts,
            |_| (),
            read,
            |_| {
                taken += 1;
                ControlFlow::Continue(())
            },
        );
        assert_eq!((error.unwrap_err().to_string().as_str(), taken), ("unreadable", 50));
        let until_40 = |part| if part == 40 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        in_order(&parts, |_| (), read, until_40).unwrap();
    }
}
