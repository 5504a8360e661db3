//! Threads that wait for work between the operations of one pass without going to sleep: waking one takes longer than
//! many an operation.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

use crate::Threads;

/// Looks before a waiting member lets others have the processor.
const LOOKS: usize = 4000;

/// A leader, who calls [`Threads::run`], and members, who help until they are dismissed.
#[derive(Default)]
pub struct Crew {
    /// Members and leader, as many as work can be shared by.
    size: AtomicUsize,
    dismissed: AtomicBool,
    /// Whether somebody leads. Whoever comes meanwhile works alone.
    led: AtomicBool,
    /// Whether there is a job to help with.
    open: AtomicBool,
    /// Members that look at the job.
    active: AtomicUsize,
    /// The leader's `&dyn Fn`, as long as the job is open or somebody active.
    job: AtomicPtr<&'static (dyn Fn(usize) + Sync)>,
    tasks: AtomicUsize,
    next: AtomicUsize,
    panicked: AtomicBool,
}

impl Crew {
    /// Before members come: how many there will be at most, the leader among them.
    pub fn gather(&self, size: usize) {
        self.size.store(size, Ordering::Relaxed);
        self.dismissed.store(false, Ordering::SeqCst);
    }

    /// Sends all members home.
    pub fn dismiss(&self) {
        self.dismissed.store(true, Ordering::SeqCst);
        self.size.store(1, Ordering::Relaxed);
    }

    /// What a member does: works with the leader until dismissed.
    pub fn help(&self) {
        let mut looks = 0;
        while !self.dismissed.load(Ordering::SeqCst) {
            if self.open.load(Ordering::SeqCst) {
                let _active = Active::new(&self.active);
                // Now the leader waits, if the job is still open.
                if self.open.load(Ordering::SeqCst)
                    && self.next.load(Ordering::Relaxed) < self.tasks.load(Ordering::Relaxed)
                {
                    // SAFETY: the leader keeps the job alive until it is closed and nobody is active.
                    let job = unsafe { *self.job.load(Ordering::SeqCst) };
                    let on_panic = OnPanic(&self.panicked);
                    self.work(job);
                    std::mem::forget(on_panic);
                    looks = 0;
                }
            }
            looks += 1;
            if looks < LOOKS {
                spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }

    fn work(&self, job: &(dyn Fn(usize) + Sync)) {
        let tasks = self.tasks.load(Ordering::Relaxed);
        loop {
            let task = self.next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks {
                return;
            }
            job(task);
        }
    }
}

impl Threads for Crew {
    fn count(&self) -> usize {
        self.size.load(Ordering::Relaxed).max(1)
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        if tasks < 2 || self.count() == 1 || self.led.swap(true, Ordering::SeqCst) {
            (0..tasks).for_each(task);
            return;
        }
        self.panicked.store(false, Ordering::SeqCst);
        // SAFETY: only the lifetime changes. `Closing` ends the job before this function returns or unwinds, and members
        // use it only while it is open or they are active.
        let mut job: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(task) };
        self.tasks.store(tasks, Ordering::Relaxed);
        self.next.store(0, Ordering::Relaxed);
        self.job.store(&raw mut job, Ordering::SeqCst);
        self.open.store(true, Ordering::SeqCst);
        let closing = Closing(self);
        self.work(task);
        drop(closing);
        assert!(
            !self.panicked.swap(false, Ordering::SeqCst),
            "a member of the crew panicked"
        );
    }
}

struct Active<'a>(&'a AtomicUsize);

impl<'a> Active<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Forgotten where all went well.
struct OnPanic<'a>(&'a AtomicBool);

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Ends a job, also where a task of the leader's panics.
struct Closing<'a>(&'a Crew);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.open.store(false, Ordering::SeqCst);
        let mut looks = 0;
        while self.0.active.load(Ordering::SeqCst) > 0 {
            looks += 1;
            if looks < LOOKS {
                spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
        self.0.led.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn with_crew<R>(size: usize, lead: impl FnOnce(&Crew) -> R) -> R {
        let crew = Crew::default();
        crew.gather(size);
        std::thread::scope(|scope| {
            for _ in 1..size {
                scope.spawn(|| catch_unwind(AssertUnwindSafe(|| crew.help())));
            }
            let result = lead(&crew);
            crew.dismiss();
            result
        })
    }

    #[test]
    fn every_task_is_done_once_whatever_the_size() {
        for size in 1..5 {
            with_crew(size, |crew| {
                for tasks in [0, 1, 2, 3, 100, 1000].repeat(50) {
                    let done: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                    crew.run(tasks, &|task| {
                        done[task].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(done.iter().all(|count| count.load(Ordering::Relaxed) == 1));
                }
            });
        }
    }

    #[test]
    fn without_members_the_leader_does_all() {
        let crew = Crew::default();
        let count = AtomicUsize::new(0);
        crew.run(10, &|_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.load(Ordering::Relaxed), 10);
    }

    #[test]
    fn a_job_within_a_job_and_two_leaders_at_a_time_do_all_their_tasks() {
        with_crew(3, |crew| {
            let count = AtomicUsize::new(0);
            let add = |_| {
                count.fetch_add(1, Ordering::Relaxed);
            };
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| (0..100).for_each(|_| crew.run(10, &|_| crew.run(10, &add))));
                }
            });
            assert_eq!(count.load(Ordering::Relaxed), 20_000);
        });
    }

    #[test]
    fn a_panic_reaches_the_leader_and_the_next_job_runs() {
        with_crew(3, |crew| {
            let failed = catch_unwind(AssertUnwindSafe(|| crew.run(100, &|task| assert_ne!(task, 50))));
            assert!(failed.is_err());
            let count = AtomicUsize::new(0);
            crew.run(100, &|_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(count.load(Ordering::Relaxed), 100);
        });
    }
}
