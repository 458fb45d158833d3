//! What a process did to its files, in order, and what of it a power cut may leave.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What a disk writes as a whole.
const SECTOR: usize = 512;

/// A file, whatever its name is by now.
type Inode = usize;

/// A change of a file's contents.
#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

/// A change of a directory.
#[derive(Clone, Debug)]
enum Naming {
    Create(String, Inode),
    Rename(String, String),
    Unlink(String),
    MakeDirectory(String),
}

/// One entry of the recording.
#[derive(Clone, Debug)]
enum Entry {
    Named(Naming),
    Changed(Inode, Change),
    /// A sync has succeeded that covers what was recorded before the given entry; of a directory if without a file.
    Synced(Option<Inode>, usize),
    Said(Vec<u8>),
}

/// The recording of `tests/shim/disk.c`.
#[derive(Debug, Default)]
pub(super) struct Recording {
    entries: Vec<Entry>,
    /// Names and contents at the beginning, all durable.
    names: BTreeMap<String, Inode>,
    contents: Vec<Vec<u8>>,
    /// Syncs of a file that began while another of the same file was under way.
    pub(super) side_by_side: usize,
}

/// How much of what was not synced is left.
#[derive(Clone, Copy, Debug)]
enum Luck {
    Nothing,
    Everything,
    /// Up to some moment, the last write torn.
    UpTo,
    /// Any of it, in whole or in part.
    Anything,
}

/// A disk after a power cut.
#[derive(Debug)]
pub(super) struct Image {
    names: BTreeMap<String, Option<Inode>>,
    contents: Vec<Vec<u8>>,
    /// What the process had said by then.
    pub(super) said: String,
}

impl Recording {
    /// Reads a recording of a process that began with what is in the directory.
    pub(super) fn read(directory: &BTreeMap<String, Vec<u8>>, bytes: &[u8]) -> Self {
        let mut recording = Self::default();
        let mut now = BTreeMap::new();
        for (name, contents) in directory {
            now.insert(name.clone(), recording.contents.len());
            recording.contents.push(contents.clone());
        }
        recording.names = now.clone();
        let (mut begun, mut inodes, mut rest) = (BTreeMap::new(), recording.contents.len(), bytes);
        let mut under_way = Vec::new();
        while let Some((kind, path, number, data)) = record(&mut rest) {
            let inode = now.get(&path).copied();
            let entry = match kind {
                b'o' => {
                    now.insert(path.clone(), inodes);
                    inodes += 1;
                    Entry::Named(Naming::Create(path, inodes - 1))
                }
                b'w' => Entry::Changed(inode.unwrap(), Change::Write(number, data.to_vec())),
                b't' => Entry::Changed(inode.unwrap(), Change::Truncate(number)),
                b'r' => {
                    let to = String::from_utf8(data.to_vec()).unwrap();
                    let inode = now.remove(&path).unwrap();
                    now.insert(to.clone(), inode);
                    Entry::Named(Naming::Rename(path, to))
                }
                b'u' => {
                    now.remove(&path);
                    Entry::Named(Naming::Unlink(path))
                }
                b'm' => Entry::Named(Naming::MakeDirectory(path)),
                b's' => {
                    begun.insert(number, recording.entries.len());
                    recording.side_by_side += usize::from(under_way.iter().any(|(of, _)| *of == path));
                    under_way.push((path, number));
                    continue;
                }
                b'S' => {
                    under_way.retain(|(_, begun)| *begun != number);
                    Entry::Synced(inode, begun[&number])
                }
                b'a' => Entry::Said(data.to_vec()),
                other => panic!("a record of the kind {other}"),
            };
            recording.entries.push(entry);
        }
        recording.contents.resize(inodes, Vec::new());
        recording
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The disks after power cuts at these moments (in order), each before the entry with this index.
    pub(super) fn images<'a>(
        &'a self,
        cuts: &'a [usize],
        random: &'a mut fastrand::Rng,
    ) -> impl Iterator<Item = Image> + 'a {
        let mut disk = Disk { contents: self.contents.clone(), ..Disk::default() };
        let mut at = 0;
        cuts.iter().map(move |&cut| {
            while at < cut {
                disk.take(at, &self.entries[at]);
                at += 1;
            }
            disk.image(&self.names, random)
        })
    }
}

/// The next record; none at the end, where the last may be torn.
fn record<'a>(rest: &mut &'a [u8]) -> Option<(u8, String, usize, &'a [u8])> {
    let (kind, after) = rest.split_first()?;
    let (path_length, after) = after.split_first_chunk::<4>()?;
    let (number, after) = after.split_first_chunk::<8>()?;
    let (length, after) = after.split_first_chunk::<8>()?;
    let (path, after) = after.split_at_checked(u32::from_le_bytes(*path_length) as usize)?;
    let (data, after) = after.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    *rest = after;
    let number = usize::try_from(u64::from_le_bytes(*number)).ok()?;
    Some((*kind, String::from_utf8(path.to_vec()).unwrap(), number, data))
}

/// What is durable, and what was done since.
#[derive(Default)]
struct Disk<'a> {
    contents: Vec<Vec<u8>>,
    pending: Vec<(usize, Inode, &'a Change)>,
    namings: Vec<(usize, &'a Naming)>,
    /// A file system writes its journal in order, so a beginning of the namings is durable.
    named: usize,
    said: Vec<u8>,
}

impl<'a> Disk<'a> {
    fn take(&mut self, index: usize, entry: &'a Entry) {
        match entry {
            Entry::Named(naming) => self.namings.push((index, naming)),
            Entry::Changed(inode, change) => self.pending.push((index, *inode, change)),
            Entry::Said(text) => self.said.extend_from_slice(text),
            Entry::Synced(None, begun) => {
                self.named = self.named.max(self.namings.partition_point(|(index, _)| index < begun));
            }
            Entry::Synced(Some(synced), begun) => {
                let created =
                    self.namings.iter().rposition(|(_, naming)| matches!(naming, Naming::Create(_, i) if i == synced));
                self.named = self.named.max(created.map_or(0, |created| created + 1));
                let contents = &mut self.contents;
                self.pending.retain(|(index, inode, change)| {
                    let covered = inode == synced && index < begun;
                    if covered {
                        apply(&mut contents[*inode], change);
                    }
                    !covered
                });
            }
        }
    }

    fn image(&self, names: &BTreeMap<String, Inode>, random: &mut fastrand::Rng) -> Image {
        let mut contents = self.contents.clone();
        let luck = [Luck::Nothing, Luck::Everything, Luck::UpTo, Luck::Anything, Luck::Anything][random.usize(..5)];
        let last = random.usize(..=self.pending.len());
        for (order, (_, inode, change)) in self.pending.iter().enumerate() {
            let (whole, torn) = match luck {
                Luck::Nothing => (false, false),
                Luck::Everything => (true, false),
                Luck::UpTo => (order < last, order == last),
                Luck::Anything => (random.u8(..3) == 0, random.bool()),
            };
            if whole {
                apply(&mut contents[*inode], change);
            } else if torn && let Change::Write(offset, data) = change {
                write_torn(&mut contents[*inode], *offset, data, random);
            }
        }
        let namings = match luck {
            Luck::Nothing => self.named,
            Luck::Everything => self.namings.len(),
            Luck::UpTo | Luck::Anything => random.usize(self.named..=self.namings.len()),
        };
        let mut names: BTreeMap<_, _> = names.iter().map(|(name, inode)| (name.clone(), Some(*inode))).collect();
        for (_, naming) in &self.namings[..namings] {
            match naming {
                Naming::Create(name, inode) => drop(names.insert(name.clone(), Some(*inode))),
                Naming::MakeDirectory(name) => drop(names.insert(name.clone(), None)),
                Naming::Unlink(name) => drop(names.remove(name)),
                Naming::Rename(from, to) => {
                    let inode = names.remove(from).unwrap();
                    names.insert(to.clone(), inode);
                }
            }
        }
        Image { names, contents, said: String::from_utf8_lossy(&self.said).into_owned() }
    }
}

fn apply(contents: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Truncate(length) => contents.resize(*length, 0),
        Change::Write(offset, data) => write(contents, *offset, data),
    }
}

fn write(contents: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if contents.len() < offset + data.len() {
        contents.resize(offset + data.len(), 0);
    }
    contents[offset..offset + data.len()].copy_from_slice(data);
}

/// Keeps some of the sectors: each by chance, or all up to one, or all from one on.
fn write_torn(contents: &mut Vec<u8>, offset: usize, data: &[u8], random: &mut fastrand::Rng) {
    let sectors = (offset + data.len()).div_ceil(SECTOR) - offset / SECTOR;
    let (style, middle) = (random.u8(..3), random.usize(..=sectors));
    let mut at = 0;
    for sector in 0..sectors {
        let end = data.len().min((offset / SECTOR + sector + 1) * SECTOR - offset);
        let kept = match style {
            0 => random.bool(),
            1 => sector < middle,
            _ => sector >= middle,
        };
        if kept {
            write(contents, offset + at, &data[at..end]);
        }
        at = end;
    }
}

impl Image {
    /// Makes the directory that a process would find.
    pub(super) fn write(&self, directory: &Path) {
        drop(fs::remove_dir_all(directory));
        fs::create_dir_all(directory).unwrap();
        for (name, inode) in &self.names {
            match inode {
                None => fs::create_dir_all(directory.join(name)).unwrap(),
                Some(inode) => fs::write(directory.join(name), &self.contents[*inode]).unwrap(),
            }
        }
    }
}
