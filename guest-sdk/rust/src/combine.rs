//! Waiting for several different things.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

/// Which of two futures was first, and what it gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<A, B> {
    /// The first one.
    Left(A),
    /// The second one.
    Right(B),
}

/// A tuple of two to six futures; see [`OrchestrationContext::join`](crate::OrchestrationContext::join).
pub trait Join {
    /// The outputs, in the same order.
    type Output;

    /// Waits for all of them.
    fn join(self) -> impl Future<Output = Self::Output>;
}

macro_rules! join_tuples {
    ($(($($future:ident $value:ident),+))+) => {$(
        impl<$($future: Future),+> Join for ($($future,)+) {
            type Output = ($($future::Output,)+);

            async fn join(self) -> Self::Output {
                let ($($value,)+) = self;
                $(let mut $value = (pin!($value), None);)+
                poll_fn(|context| {
                    $(if $value.1.is_none() && let Poll::Ready(output) = $value.0.as_mut().poll(context) {
                        $value.1 = Some(output);
                    })+
                    if $($value.1.is_none())||+ {
                        return Poll::Pending;
                    }
                    match ($($value.1.take(),)+) {
                        ($(Some($value),)+) => Poll::Ready(($($value,)+)),
                        _ => Poll::Pending,
                    }
                })
                .await
            }
        }
    )+};
}

join_tuples! {
    (A a, B b)
    (A a, B b, C c)
    (A a, B b, C c, D d)
    (A a, B b, C c, D d, E e)
    (A a, B b, C c, D d, E e, F f)
}

pub(crate) async fn either<A: Future, B: Future>(a: A, b: B) -> Either<A::Output, B::Output> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|context| {
        if let Poll::Ready(output) = a.as_mut().poll(context) {
            return Poll::Ready(Either::Left(output));
        }
        b.as_mut().poll(context).map(Either::Right)
    })
    .await
}

/// The first of the list to be ready, which leaves the list.
pub(crate) async fn select<F: Future + Unpin>(futures: &mut Vec<F>) -> (usize, F::Output) {
    poll_fn(|context| {
        let ready = futures.iter_mut().enumerate().find_map(|(index, future)| match Pin::new(future).poll(context) {
            Poll::Ready(output) => Some((index, output)),
            Poll::Pending => None,
        });
        let Some((index, output)) = ready else { return Poll::Pending };
        drop(futures.remove(index));
        Poll::Ready((index, output))
    })
    .await
}
