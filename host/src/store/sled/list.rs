//! Reading lists. Whatever is asked, the rows come in one order (time of creation, then id) from the shortest index
//! that has them all; several are merged. Where a page ends depends on the place in that order alone, so each page may
//! be read from another index than the one before.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use durawasm_core::{InstanceId, Status};

use super::encoding::{self, NumberRow};
use super::keys::{self, Ordered};
use super::read::{self, failed};
use super::rows::Rows;
use super::{counts, index};
use crate::store::{
    EXAMINED, Filter, HubName, InstanceNumber, InstanceRecord, ListQuery, Page, Position, StatusCounts, StoreError,
};

/// A row of an index.
type Row = (Position, InstanceNumber);
/// Rows in the order of lists.
type Source<'a> = Box<dyn Iterator<Item = Result<Row, StoreError>> + 'a>;

/// One page.
pub(super) fn page(tree: &Rows, hub: &HubName, query: &ListQuery) -> Result<Page, StoreError> {
    let mut rows = Merge::new(sources(tree, hub, query)?)?;
    let mut page = Page::default();
    let mut examined = 0;
    while let Some((position, number)) = rows.next()? {
        if examined >= EXAMINED || page.records.len() >= query.limit.max(1) {
            return Ok(page);
        }
        examined += 1;
        if query.filter.admits_place(position.created, &position.id) {
            let record = record(tree, number)?.filter(|record| is_at(record, hub, &position));
            page.records.extend(record.filter(|record| query.filter.admits(record)));
        }
        page.next = Some(position);
    }
    page.next = None;
    Ok(page)
}

/// Children of an instance.
pub(super) fn children(
    tree: &Rows,
    (hub, parent): (&str, &str),
    after: InstanceNumber,
    limit: usize,
) -> Result<Vec<InstanceRecord>, StoreError> {
    let (from, until) = keys::children(hub, parent, after);
    let mut found = Vec::new();
    if from >= until {
        return Ok(found);
    }
    for key in tree.range(from..until).keys() {
        if found.len() >= limit {
            break;
        }
        found.extend(record(tree, keys::child_number(&key.map_err(failed)?)?)?);
    }
    Ok(found)
}

/// The record with this number; none if it is gone, for a scan is no snapshot.
fn record(tree: &Rows, number: InstanceNumber) -> Result<Option<InstanceRecord>, StoreError> {
    let Some(row) = tree.get(keys::instance(number.0)).map_err(failed)? else { return Ok(None) };
    encoding::decode_record(number.0, &row).map(|(_, record)| Some(record))
}

fn is_at(record: &InstanceRecord, hub: &HubName, position: &Position) -> bool {
    record.hub == *hub && record.created == position.created && record.id == position.id
}

fn position(record: &InstanceRecord) -> Position {
    Position { created: record.created, id: record.id.clone() }
}

/// The indexes that have all rows the question is about.
fn sources<'a>(tree: &'a Rows, hub: &HubName, query: &ListQuery) -> Result<Vec<Source<'a>>, StoreError> {
    if let Some(rows) = few_with_prefix(tree, hub, query)? {
        return Ok(vec![rows]);
    }
    let filter = &query.filter;
    let mut names = counts::of_hub(tree, hub)?.by_name;
    let of_statuses = |counts: &StatusCounts| filter.statuses.iter().map(|status| counts.get(*status)).sum::<u64>();
    let with_status: u64 = names.values().map(of_statuses).sum();
    // Where nothing has such a status there is nothing to look through.
    names.retain(|name, counts| {
        filter.name.as_ref().is_none_or(|wanted| wanted == name)
            && (filter.statuses.is_empty() || of_statuses(counts) > 0)
    });
    let with_name: u64 = names.values().map(StatusCounts::total).sum();
    if with_status < with_name
        && let Some(sources) = by_status(tree, hub, query)?
    {
        return Ok(sources);
    }
    Ok(names.keys().map(|name| scan(tree, Ordered::created(hub, name), query)).collect())
}

/// The instances whose ids begin as asked, if a page may look at them all.
fn few_with_prefix<'a>(tree: &Rows, hub: &HubName, query: &ListQuery) -> Result<Option<Source<'a>>, StoreError> {
    let Some(prefix) = query.filter.id_prefix.as_deref().filter(|prefix| !prefix.is_empty()) else { return Ok(None) };
    let (from, until) = keys::numbers(hub, prefix);
    let mut numbers = Vec::new();
    for row in tree.range(from..until) {
        if numbers.len() >= EXAMINED {
            return Ok(None);
        }
        let row: NumberRow =
            encoding::decode(&row.map_err(failed)?.1, "the row that leads from an id to its instance")?;
        numbers.push(InstanceNumber(row.number));
    }
    collected(tree, (hub, query), &numbers).map(Some)
}

/// The index by status, if it has all that is asked for: not what has completed, and not what is open when there is
/// too much that never waited.
fn by_status<'a>(tree: &'a Rows, hub: &HubName, query: &ListQuery) -> Result<Option<Vec<Source<'a>>>, StoreError> {
    let statuses = &query.filter.statuses;
    if statuses.is_empty() || statuses.contains(&Status::Completed) {
        return Ok(None);
    }
    let mut sources = Vec::new();
    if statuses.iter().any(|status| !status.is_terminal()) {
        // Read before the rows of those that wait: who begins to wait in between is seen twice, not missed.
        let ready = read::ready(tree, None, EXAMINED + 1)?;
        if ready.len() > EXAMINED {
            return Ok(None);
        }
        sources.push(collected(tree, (hub, query), &ready)?);
        sources.push(scan(tree, Ordered::status(hub, index::OPEN), query));
    }
    for status in Status::ALL.into_iter().filter(|status| status.is_terminal() && statuses.contains(status)) {
        sources.push(scan(tree, Ordered::status(hub, status as u8), query));
    }
    Ok(Some(sources))
}

/// These instances, put in order.
fn collected<'a>(
    tree: &Rows,
    (hub, query): (&HubName, &ListQuery),
    numbers: &[InstanceNumber],
) -> Result<Source<'a>, StoreError> {
    let mut rows: Vec<Row> = Vec::new();
    for number in numbers {
        let Some(record) = record(tree, *number)? else { continue };
        let position = position(&record);
        if record.hub == *hub
            && query.filter.admits(&record)
            && query.after.as_ref().is_none_or(|after| position > *after)
        {
            rows.push((position, *number));
        }
    }
    rows.sort_unstable();
    Ok(Box::new(rows.into_iter().map(Ok)))
}

/// The rows of an index from where the page begins to the last moment asked for.
fn scan<'a>(tree: &'a Rows, index: Ordered, query: &ListQuery) -> Source<'a> {
    let (mut from, mut until) = index.all();
    let Filter { created_from, created_to, .. } = &query.filter;
    if let Some(at) = created_from {
        from = from.max(index.from(*at));
    }
    if let Some(after) = &query.after {
        let mut next = index.row(after.created, &after.id);
        next.push(0);
        from = from.max(next);
    }
    if let Some(at) = created_to {
        until = until.min(index.after(*at));
    }
    if from >= until {
        return Box::new(std::iter::empty());
    }
    Box::new(tree.range(from..until).map(move |row| {
        let (key, value) = row.map_err(failed)?;
        let (created, id) = index.parts(&key)?;
        let row: NumberRow = encoding::decode(&value, "an index row")?;
        Ok((Position { created, id: InstanceId::from(id) }, InstanceNumber(row.number)))
    }))
}

/// Several sources as one, without what comes twice.
struct Merge<'a> {
    sources: Vec<Source<'a>>,
    heads: BinaryHeap<Reverse<(Row, usize)>>,
    last: Option<Row>,
}

impl<'a> Merge<'a> {
    fn new(sources: Vec<Source<'a>>) -> Result<Self, StoreError> {
        let mut merge = Self { heads: BinaryHeap::with_capacity(sources.len()), sources, last: None };
        for source in 0..merge.sources.len() {
            merge.advance(source)?;
        }
        Ok(merge)
    }

    fn advance(&mut self, source: usize) -> Result<(), StoreError> {
        if let Some(row) = self.sources.get_mut(source).and_then(Iterator::next) {
            self.heads.push(Reverse((row?, source)));
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Row>, StoreError> {
        while let Some(Reverse((row, source))) = self.heads.pop() {
            self.advance(source)?;
            if self.last.as_ref() != Some(&row) {
                self.last = Some(row.clone());
                return Ok(Some(row));
            }
        }
        Ok(None)
    }
}
