//! Messages between instances: a row each, large ones with their bytes in parts beside it.

use super::collect::Task;
use super::encoding::{self, MailHead};
use super::keys;
use super::prepare::{MAIL_INLINE, MAX_VALUE};
use super::read::failed;
use super::rows::Changes;
use super::rows::Rows;
use crate::store::{CommitError, MAIL_PAGE_BYTES, Mail, MailId, StoreError};

/// The row of a message with this number.
pub(super) fn row(id: u64, bytes: &[u8]) -> Result<(Vec<u8>, Option<Vec<u8>>), StoreError> {
    let head = if bytes.len() <= MAIL_INLINE {
        MailHead { whole: Some(bytes), length: None }
    } else {
        MailHead { whole: None, length: Some(bytes.len() as u64) }
    };
    Ok((keys::mail(id), Some(encoding::encode(&head)?)))
}

/// The parts of a message with this number; none for a small one.
pub(super) fn parts(id: u64, bytes: &[u8]) -> impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)> {
    let large = if bytes.len() > MAIL_INLINE { bytes } else { &[] };
    large.chunks(MAX_VALUE).zip(0..).map(move |(part, number)| (keys::mail_part(id, number), Some(part.to_vec())))
}

/// Removes a message that is taken; its parts are removed behind. A message that is not there is a conflict.
pub(super) fn take(tree: &Rows, id: MailId, changes: &mut Changes) -> Result<Option<Task>, CommitError> {
    let Some(row) = tree.get(keys::mail(id.0)).map_err(failed)? else { return Err(CommitError::Conflict) };
    let head: MailHead<'_> = encoding::decode(&row, "a message between instances")?;
    changes.push((keys::mail(id.0), None));
    if head.length.is_none() {
        return Ok(None);
    }
    let task = Task::Mail { id: id.0 };
    changes.push((task.key(), Some(Vec::new())));
    Ok(Some(task))
}

/// The messages that wait, in order.
pub(super) fn waiting(tree: &Rows, after: Option<MailId>, limit: usize) -> Result<Vec<Mail>, StoreError> {
    let (from, until) = keys::mail_after(after);
    let (mut found, mut bytes) = (Vec::new(), 0);
    if from >= until {
        return Ok(found);
    }
    for row in tree.range(from..until) {
        if found.len() >= limit || bytes >= MAIL_PAGE_BYTES {
            break;
        }
        let (key, value) = row.map_err(failed)?;
        let id = keys::mail_id(&key)?;
        bytes += length(&value)?;
        if let Some(mail) = read(tree, id, &value)? {
            found.push(mail);
        }
    }
    Ok(found)
}

fn length(row: &[u8]) -> Result<usize, StoreError> {
    let head: MailHead<'_> = encoding::decode(row, "a message between instances")?;
    Ok(head.length.map_or(row.len(), |length| usize::try_from(length).unwrap_or(usize::MAX)))
}

/// None: it was taken while its parts were read.
fn read(tree: &Rows, id: MailId, row: &[u8]) -> Result<Option<Mail>, StoreError> {
    let head: MailHead<'_> = encoding::decode(row, "a message between instances")?;
    let length = match (head.whole, head.length) {
        (Some(bytes), _) => return encoding::decode_mail(id, bytes).map(Some),
        (None, Some(length)) => usize::try_from(length).unwrap_or(usize::MAX),
        (None, None) => return Err(StoreError::Corrupt(format!("message {} is empty", id.0))),
    };
    let mut bytes = Vec::new();
    let (from, until) = keys::all_mail_parts(id.0);
    for part in tree.range(from..until) {
        bytes.extend_from_slice(&part.map_err(failed)?.1);
    }
    if bytes.len() == length {
        return encoding::decode_mail(id, &bytes).map(Some);
    }
    if tree.contains_key(keys::mail(id.0)).map_err(failed)? {
        let found = bytes.len();
        return Err(StoreError::Corrupt(format!("of message {} with {length} bytes only {found} are there", id.0)));
    }
    Ok(None)
}
