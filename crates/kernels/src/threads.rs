//! How work is spread: the caller brings the threads.

/// Runs tasks side by side.
pub trait Threads: Sync {
    /// How many tasks can run at a time.
    fn count(&self) -> usize;

    /// Calls `task` once with each number below `tasks`, in any order on any thread, and returns when all are done.
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync));
}

/// The calling thread alone.
pub struct Serial;

impl Threads for Serial {
    fn count(&self) -> usize {
        1
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..tasks).for_each(task);
    }
}

/// A pointer that tasks share. Each task writes what no other touches: the one who makes it sees to that.
#[derive(Clone, Copy)]
pub(crate) struct Shared<T>(*mut T);

// SAFETY: a Shared is only dereferenced by tasks of one `Threads::run`, on ranges that are disjoint between tasks.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) fn new(values: &mut [T]) -> Self {
        Self(values.as_mut_ptr())
    }

    /// The address of element `at`.
    pub(crate) fn at(&self, at: usize) -> *mut T {
        self.0.wrapping_add(at)
    }

    /// # Safety
    /// `at .. at + length` lies within the slice of [`Shared::new`], which outlives the use, and no other task touches it.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn slice(&self, at: usize, length: usize) -> &mut [T] {
        // SAFETY: promised by the caller.
        unsafe { std::slice::from_raw_parts_mut(self.at(at), length) }
    }
}
