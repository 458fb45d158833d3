//! Which instances are wanted, and all of them.

use std::vec;

use super::host;
use crate::bindings::durable::functions::client as wit;
use crate::client::{ClientError, InstanceStatus};
use crate::{RuntimeStatus, Timestamp};

/// Which instances are wanted. What is not said does not matter.
///
/// ```
/// use durawasm::prelude::*;
///
/// let month = Duration::from_secs(30 * 86_400);
/// let old = InstanceFilter::new().created_to(Timestamp::UNIX_EPOCH + month).status(RuntimeStatus::Completed);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct InstanceFilter(wit::Filter);

impl InstanceFilter {
    /// All instances.
    pub fn new() -> Self {
        Self(wit::Filter {
            created_from: None,
            created_to: None,
            runtime_status: vec![],
            name: None,
            instance_id_prefix: None,
        })
    }

    /// Those created at this time or later.
    pub fn created_from(mut self, time: Timestamp) -> Self {
        self.0.created_from = Some(time.to_string());
        self
    }

    /// Those created at this time or earlier.
    pub fn created_to(mut self, time: Timestamp) -> Self {
        self.0.created_to = Some(time.to_string());
        self
    }

    /// Those of this status; said more than once: of any of them.
    pub fn status(mut self, status: RuntimeStatus) -> Self {
        self.0.runtime_status.push(status);
        self
    }

    /// Those of this orchestrator function.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.0.name = Some(name.into());
        self
    }

    /// Those whose instance id begins so.
    pub fn id_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.0.instance_id_prefix = Some(prefix.into());
        self
    }

    pub(crate) fn as_wit(&self) -> &wit::Filter {
        &self.0
    }
}

impl Default for InstanceFilter {
    fn default() -> Self {
        Self::new()
    }
}

/// A listing being put together; see [`DurableClient::list`](crate::DurableClient::list).
#[derive(Clone, Debug)]
#[must_use = "nothing is asked before it is iterated over"]
pub struct ListInstances {
    filter: InstanceFilter,
    with_input: bool,
    page_size: Option<u32>,
}

impl ListInstances {
    pub(crate) fn new(filter: InstanceFilter) -> Self {
        Self { filter, with_input: false, page_size: None }
    }

    /// The inputs, too.
    pub fn show_input(mut self) -> Self {
        self.with_input = true;
        self
    }

    /// How many instances the host is asked for at once; without it 100. It limits memory, not the result.
    pub fn page_size(mut self, instances: u32) -> Self {
        self.page_size = Some(instances);
        self
    }

    /// One page and where the next one begins (none: this is the last one), to be given to others that go on from there.
    /// A page may be short and still have a next one.
    pub fn page(&self, continuation: Option<&str>) -> Result<(Vec<InstanceStatus>, Option<String>), ClientError> {
        let page = host::list_instances(self.filter.as_wit(), self.with_input, self.page_size, continuation)?;
        Ok((page.instances.into_iter().map(Into::into).collect(), page.continuation))
    }
}

impl IntoIterator for ListInstances {
    type Item = Result<InstanceStatus, ClientError>;
    type IntoIter = Instances;

    fn into_iter(self) -> Instances {
        Instances { list: self, page: vec![].into_iter(), rest: Rest::Page(None) }
    }
}

/// All instances that were asked for, oldest first, page by page. It ends after an error.
#[derive(Debug)]
pub struct Instances {
    list: ListInstances,
    page: vec::IntoIter<InstanceStatus>,
    rest: Rest,
}

/// What follows the page at hand.
#[derive(Debug)]
enum Rest {
    /// A page that begins here; the first one has no beginning to name.
    Page(Option<String>),
    Nothing,
}

impl Iterator for Instances {
    type Item = Result<InstanceStatus, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(instance) = self.page.next() {
                return Some(Ok(instance));
            }
            let Rest::Page(from) = std::mem::replace(&mut self.rest, Rest::Nothing) else { return None };
            match self.list.page(from.as_deref()) {
                Ok((instances, next)) => {
                    self.page = instances.into_iter();
                    self.rest = next.map_or(Rest::Nothing, |from| Rest::Page(Some(from)));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
